"""The block store in Redis or Valkey: one GET tells any program whether an address is listed.

README.md beside this file says which keys there are and what other programs may rely on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson

from detector.errors import StoreForeignError, StoreVersionError
from pipelines.ports import Change, FloodRecord, Listing, StoredRequest
from pipelines.stores.flood_ledger import FloodRow, flood_ids, read_floods, take_floods
from pipelines.stores.ledger import Step, check_start, checked_steps, new_steps, storable
from pipelines.stores.redis_rows import RedisBounds, apply_arguments, listing_of, request_of
from pipelines.stores.redis_scripts import (
    ADD_REQUEST,
    ANSWERED,
    APPLY,
    CHANGES,
    FACTS,
    FLOODS,
    HELD,
    KEYS,
    LAYOUT_VERSION,
    LISTED,
    META,
    OF_SUBJECT,
    ORDER,
    PENDING,
    START_BEHIND,
    Script,
)
from pipelines.stores.redis_server import RedisServer
from pipelines.stores.redis_url import redis_url, shown_url

__all__ = ["RedisBounds", "RedisStore"]

_SEQ_DIGITS: Final = 19


class RedisStore:
    """The block store in a Redis (6.2 or later) or Valkey server, without cluster mode.

    Any number of writers and readers may use it. A change is stored once, by its number, which the
    server checks in the step that stores it. No call waits longer than 2 s; whatever raised a
    `StoreUnavailableError` may be repeated. A long batch is stored in steps, each of them whole;
    the facts come with the last.

    Raises:
        StoreUrlError: the address is none.
        StoreUnavailableError: the server cannot be used now.
        StoreAccessError: the server does not let us in, or its certificate is not known.
        StoreForeignError: the keys are not ours, or it is no Redis.
        StoreVersionError: a newer floodwatch wrote the keys.
    """

    def __init__(
        self,
        url: str,
        *,
        password: str | None = None,
        ca_file: Path | None = None,
        bounds: RedisBounds | None = None,
    ) -> None:
        place = redis_url(url)
        if password is not None:
            place = replace(place, password=password)
        self._name = shown_url(url)
        self._bounds = bounds or RedisBounds()
        self._server = RedisServer(self._name, place, ca_file)
        try:
            self._check_layout()
        except BaseException:
            self._server.close()
            raise

    def __repr__(self) -> str:
        return f"RedisStore({self._name!r})"

    def apply(
        self, changes: Sequence[Change], facts: Mapping[str, str] | None = None,
        floods: Sequence[FloodRecord] = (),
    ) -> int:  # fmt: skip
        """Store the changes that are new, with the facts; what cannot be stored stores nothing.

        Raises:
            StoreConflictError: another change has that `seq`, or another record its key.
            StoreGapError: a change is missing before this one.
            StoreChangeError: a change outside the contract.
            StoreUnavailableError: the server cannot do it now; whole steps may be stored.
        """
        steps = checked_steps(self._name, changes)
        stored = 0
        with self._server.calling():
            while True:
                last = self.last_seq()
                fresh = new_steps(self._name, steps, last, self._standing)
                moved = take_floods(self._name, floods, self._standing_floods(floods))
                done, at_end = self._store(fresh, last, facts or {}, moved)
                stored += done
                if at_end:
                    return stored

    def last_seq(self) -> int:
        """Give the number of the last change, 0 where there is none."""
        with self._server.calling():
            return int(self._server.run("HGET", META, "last_seq") or 0)

    def start_behind(self, seq: int) -> None:
        """Take the changes up to `seq` for gone."""
        with self._server.calling():
            check_start(self._name, seq, self.last_seq())
            if seq:
                status, *rest = self._run(START_BEHIND, [str(seq)])
                if status == b"raced":
                    check_start(self._name, seq, int(rest[0]))

    def get(self, subject: str, now_ms: int) -> Listing | None:
        """Give the subject's listing, or None."""
        with self._server.calling():
            text = self._server.run("HGET", LISTED, storable(subject))
        row = None if text is None else listing_of(text)
        return row if row is not None and row.hard_until_ms > now_ms else None

    def listings(
        self,
        now_ms: int,
        *,
        rule: str | None = None,
        policy: str | None = None,
        after: str = "",
        limit: int | None = None,
    ) -> list[Listing]:
        """Give the active listings by subject; each as it stood at some time during the call."""
        found: list[Listing] = []
        with self._server.calling():
            for row in self._rows_behind(storable(after)):
                if limit is not None and len(found) >= limit:
                    break
                if (
                    row.hard_until_ms > now_ms
                    and rule in (None, row.rule)
                    and policy in (None, row.policy)
                ):
                    found.append(row)
        return found

    def held(self, now_ms: int) -> list[Listing]:
        """Give what waits for an operator, by subject."""
        with self._server.calling():
            rows = [listing_of(text) for text in self._server.run("HVALS", HELD)]
        return sorted((r for r in rows if r.hard_until_ms > now_ms), key=lambda row: row.subject)

    def audit(self, subject: str) -> list[dict[str, Any]]:
        """Give the last changes of the subject as they were applied, in order, within bounds."""
        plain = storable(subject)
        with self._server.calling():
            found = self._server.run("ZRANGEBYLEX", OF_SUBJECT, f"[{plain} 0", f"({plain} :")
            ids = [f"{int(member[-_SEQ_DIGITS:])}-0" for member in found]
            entries = self._server.run_all([("XRANGE", CHANGES, one, one) for one in ids])
        changes = [orjson.loads(entry[0][1][b"decision"]) for entry in entries if entry]
        return [change for change in changes if change["subject"] == plain]

    def changes_behind(self, seq: int, most: int) -> list[dict[str, Any]]:
        """Give the next changes behind a number, of those within bounds."""
        with self._server.calling():
            found = self._server.run("XRANGE", CHANGES, f"{seq + 1}-0", "+", "COUNT", most)
        return [orjson.loads(fields[b"decision"]) for _, fields in found]

    def floods(self) -> list[dict[str, Any]]:
        """Give the last record of each flood, by the time at which it was found."""
        with self._server.calling():
            return read_floods(self._server.run("HVALS", FLOODS))

    def add_request(self, kind: str, subject: str, time_ms: int, text: str) -> int:
        """Keep a request with its time of receipt; give its id.

        After a `StoreUnavailableError` it may stand there nevertheless.
        """
        request = {
            "kind": storable(kind),
            "subject": storable(subject),
            "time_ms": time_ms,
            "text": storable(text),
        }
        with self._server.calling():
            most = self._bounds.answered_requests
            return int(self._run(ADD_REQUEST, [orjson.dumps(request).decode(), str(most)])[1])

    def requests(self, *, pending_only: bool) -> list[StoredRequest]:
        """Give the requests in order of their ids; of those answered long ago, only the last."""
        with self._server.calling():
            # In this order one that is answered meanwhile is seen twice, not missed.
            texts = dict(self._server.run("HGETALL", PENDING))
            if not pending_only:
                texts |= self._server.run("HGETALL", ANSWERED)
        found = [request_of(number, text) for number, text in texts.items()]
        return sorted(found, key=lambda request: request.id)

    def set_fact(self, key: str, text: str) -> None:
        """Keep a text under a key."""
        with self._server.calling():
            self._write((), None, {key: text})

    def fact(self, key: str) -> str | None:
        """Give the text under a key."""
        with self._server.calling():
            text = self._server.run("HGET", FACTS, storable(key))
        return None if text is None else text.decode()

    def close(self) -> None:
        """Let go of the server."""
        self._server.close()

    def _check_layout(self) -> None:
        with self._server.calling():
            layout = self._server.run("HGET", META, "layout")
            if layout is None:
                others = self._server.run("EXISTS", *KEYS)
                if others:
                    raise self._foreign(f"{others} of floodwatch:* without a layout")
            elif layout != str(LAYOUT_VERSION).encode():
                raise self._newer(layout)

    def _store(
        self, fresh: Sequence[Step], last: int, facts: Mapping[str, str],
        floods: Sequence[FloodRow],
    ) -> tuple[int, bool]:  # fmt: skip
        """Store step by step; give how many changes went in, and False if a writer came between."""
        stored = 0
        while True:
            chunk = fresh[stored : stored + self._bounds.at_once]
            at_end = stored + len(chunk) == len(fresh)
            with_last = (facts, floods) if at_end else ({}, ())
            if not self._write(chunk, last + stored, *with_last):
                return stored, False
            stored += len(chunk)
            if at_end:
                return stored, True

    def _write(
        self, chunk: Sequence[Step], last: int | None, facts: Mapping[str, str],
        floods: Sequence[FloodRow] = (),
    ) -> bool:  # fmt: skip
        """Carry out one step, where `last` is still the last change; else do nothing of it."""
        arguments = apply_arguments(chunk, last, facts, floods, self._bounds)
        return bool(self._run(APPLY, arguments)[0] == b"done")

    def _run(self, script: Script, arguments: Sequence[str]) -> list[Any]:
        reply: list[Any] = self._server.run_script(script, arguments)
        if reply[0] == b"foreign":
            raise self._foreign(reply[1].decode("utf-8", "backslashreplace"))
        if reply[0] == b"layout":
            raise self._newer(reply[1])
        return reply

    def _standing_floods(self, floods: Sequence[FloodRecord]) -> dict[str, str]:
        names = flood_ids(floods)
        if not names:
            return {}
        found = self._server.run("HMGET", FLOODS, *names)
        pairs = zip(names, found, strict=True)
        return {name: text.decode() for name, text in pairs if text is not None}

    def _standing(self, first: int, last: int) -> dict[int, str]:
        texts: dict[int, str] = {}
        page = self._bounds.at_once
        while True:
            found = self._server.run("XRANGE", CHANGES, f"{first}-0", f"{last}-0", "COUNT", page)
            for number, fields in found:
                first = int(number.partition(b"-")[0]) + 1
                texts[first - 1] = fields[b"decision"].decode()
            if len(found) < page:
                return texts

    def _rows_behind(self, after: str) -> Iterator[Listing]:
        start = f"({after}" if after else "-"
        while True:
            page = self._server.run(
                "ZRANGEBYLEX", ORDER, start, "+", "LIMIT", 0, self._bounds.at_once
            )
            if not page:
                return
            for text in self._server.run("HMGET", LISTED, *page):
                if text is not None:
                    yield listing_of(text)
            start = b"(" + page[-1]

    def _foreign(self, found: str) -> StoreForeignError:
        return StoreForeignError(
            self._name,
            f"its keys floodwatch:* are not a floodwatch store ({ascii(found)[1:-1]}), "
            "and were left "
            "as they are: name another database, or delete them",
        )

    def _newer(self, layout: bytes) -> StoreVersionError | StoreForeignError:
        if not layout.isdigit():
            return self._foreign(f"layout {layout!r}")
        problem = (
            f"a newer floodwatch wrote it: got layout {int(layout)}, known is {LAYOUT_VERSION}: "
            "update floodwatch, or name another database"
        )
        return StoreVersionError(self._name, problem, found=int(layout), known=LAYOUT_VERSION)
