"""The detector: one deterministic state machine over the log; decisions come out.

    log record ─► closing ─► count (all rows, columns) ─► cases (few rows, one by one)
                                                       ─► minute: calm, ends, learning

Most rows cost a few array operations. Only rows at victims under examination are looked at one by
one. Nothing here depends on batches: between two minutes the coarse counters only grow, so a case
opens at the same tick however the rows arrive, and knows the same hour when it does.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.events.contract import OUTBOUND, Outcome
from detector.events.interning import KeyTables
from detector.judge.candidates import (
    Counted,
    HotRows,
    hot_rows,
    is_forgiven,
    open_cases,
    passes,
    refill,
)
from detector.judge.cases import Case
from detector.judge.examiner import Examiner
from detector.judge.flood_records import FloodRecords
from detector.judge.gates import Gates
from detector.judge.offences import Offence
from detector.judge.rows import HOUR_S, CaseRow
from detector.log.closing import BEFORE_ALL, Close, PendingControl, acts_at
from detector.log.records import AsnTableChange, End, LogRecord, PolicyChange
from detector.memory.learning import PERIOD_S, Masks
from detector.memory.relations import KNOWN, mixed
from detector.networks.enrich import AsnLookup
from detector.networks.providers import ProviderRegistry
from detector.policy.settings import DAY_S, MINUTE_S, Policy
from detector.state import MESSAGES, State
from detector.tally.tally import Rows, Tally, take_rows

__all__ = ["Engine"]

_MESSAGES: Final = MESSAGES.astype(np.uint32)
IDLE_MINUTES: Final = 25 * 60
"""After so long without a row every window is empty: a day and the hour that is filling."""


class Engine(State):
    """Tallies and controls in, changes out. `lookup` and `providers` name sources."""

    def __init__(
        self, policy: Policy, tables: KeyTables, *,
        lookup: AsnLookup | None = None, providers: ProviderRegistry | None = None,
    ) -> None:  # fmt: skip
        super().__init__(policy, tables, lookup=lookup, providers=providers)
        self.flood_records: list[dict[str, Any]] = []
        """Records of floods that follow from what the last `accept` took."""
        self.flood_victims: list[tuple[str, int]] = []
        """Scope and slot of the victim of each of these records."""
        self._records = FloodRecords(self)
        self._examiner = Examiner(self)
        self._base = (0, 0, True)
        self._gates = Gates(self)

    # -- following the log ---------------------------------------------------------------------

    def accept(self, records: Iterable[tuple[int, LogRecord]]) -> list[dict[str, Any]]:
        """Take the next records of the log with their offsets; give the changes that follow.

        `flood_records` then holds the records of floods that follow. Tallies that come together are
        closed together, which is faster and changes nothing.
        """
        for offset, record in records:
            if self.closer.stands_alone(record):
                self._close_due()
            self.closer.take(record, offset)
            if not isinstance(record, Tally):
                self._close_due()
            if isinstance(record, End) and self.closer.ended():
                self._records.write_moved(self.closer.closed)
        self._close_due()
        out, self.listings.changes = self.listings.changes, []
        self.flood_records, self._records.written = self._records.written, []
        self.flood_victims, self._records.victims = self._records.victims, []
        return out

    def _close_due(self) -> None:
        while (close := self.closer.close()) is not None:
            self._close(close)

    def _close(self, close: Close) -> None:
        """Close ticks `first..last`, minute by minute and stopping at each control."""
        if self.log_start is None:
            self.log_start = close.first
            self._begin_minute(close.first // MINUTE_S)
        self._base = (close.first - 1, self.observed, close.unobserved == 0)
        if close.unobserved:
            self.listings.whole_since = close.last + 1
        stops = [acts_at(item.control, close.first) for item in close.controls]
        tick, row = close.first, 0
        while tick <= close.last:
            last = min([close.last, tick // MINUTE_S * MINUTE_S + MINUTE_S - 1])
            upto = int(np.searchsorted(close.at, last, side="right"))
            if upto == row and self._is_idle(tick):
                if tick not in stops:
                    tick = self._skip(tick, close, row, stops)
                    continue
                last = tick
            due = tuple(
                item
                for item, stop in zip(close.controls, stops, strict=True)
                if tick <= stop <= last
            )
            rows = take_rows(close.rows, slice(row, upto))
            self._segment(rows, close.at[row:upto], tick, last, due)
            tick, row = last + 1, upto
        self.observed = self._observed(close.last)

    def _observed(self, tick: int) -> int:
        """Give how many ticks have been observed when `tick` closes."""
        before, observed, whole = self._base
        return observed + (tick - before if whole else 0)

    def _is_idle(self, tick: int) -> bool:
        """Say whether a minute without rows would change nothing: nothing came for a whole day.

        Follows from the rows alone, so that it is the same in whatever batches they come.
        """
        return not self.cases and tick // MINUTE_S - self.last_rows_at // MINUTE_S > IDLE_MINUTES

    def _skip(self, tick: int, close: Close, row: int, stops: Sequence[int]) -> int:
        """Jump over idle minutes to the next row, control or listing that falls due."""
        ahead = [close.last + 1, *(stop for stop in stops if stop >= tick)]
        if row < close.at.size:
            ahead.append(int(close.at[row]))
        due = self.listings.lifecycle.next_due()
        target = min(ahead)
        if due is not None and max(due, tick) < target:
            minute_end = max(due, tick) // MINUTE_S * MINUTE_S + MINUTE_S - 1
            if minute_end <= close.last:
                self._begin_minute(minute_end // MINUTE_S)
                self._tick(minute_end, [], [], (), minute_ends=True)
                return minute_end + 1
        self._begin_minute(target // MINUTE_S)
        return target

    # -- one segment: a minute, or a part of one -----------------------------------------------

    def _segment(
        self, rows: Rows, at: NDArray[np.int64], first: int, last: int,
        due: tuple[PendingControl, ...],
    ) -> None:  # fmt: skip
        """Close the ticks of one segment: columns first, then what must be seen tick by tick."""
        hot: HotRows = {}
        connects: list[tuple[int, int, int]] = []
        if len(rows):
            hot, connects = self._count(rows, at)
        minute_ends = last % MINUTE_S == MINUTE_S - 1
        control_ticks = {acts_at(item.control, first) for item in due}
        ticks = set(hot) | {tick for tick, _, _ in connects} | control_ticks
        if minute_ends:
            ticks.add(last)
        if not ticks:
            return
        connects_by_tick: dict[int, list[tuple[int, int, int]]] = {}
        for one in connects:
            connects_by_tick.setdefault(one[0], []).append(one)
        for tick in sorted(ticks):
            controls = tuple(item for item in due if acts_at(item.control, first) == tick)
            self._tick(
                tick, hot.get(tick, []), connects_by_tick.get(tick, []), controls,
                minute_ends=minute_ends and tick == last,
            )  # fmt: skip

    def _count(
        self, rows: Rows, at: NDArray[np.int64]
    ) -> tuple[HotRows, list[tuple[int, int, int]]]:
        """Count a segment's rows in columns; give those at victims under examination."""
        self._admit(rows, at)
        self.last_rows_at = int(at[-1])
        self.sources.last_at[rows.ip] = at
        plain = rows.outcome < OUTBOUND
        connects: list[tuple[int, int, int]] = []
        if not plain.all() or (rows.rcpt < 0).any():
            self._count_outbound(rows, ~plain)
            connect = plain & (rows.rcpt < 0)
            connects = self._connects(rows, at, connect)
            index = np.flatnonzero(plain & (rows.rcpt >= 0))
            rows, at = take_rows(rows, index), at[index]
            if not len(rows):
                return {}, connects
        mailboxes, domains = self.mailboxes, self.domains
        every = rows.count * _MESSAGES[rows.outcome]
        domain = mailboxes.domain[rows.rcpt]
        place = self.sources.place[rows.ip]
        group = self.sources.group_hash[place]
        relations = self.learner.relations
        minute = rows.tick // MINUTE_S
        none = np.uint32(0)
        for scope, victims, slots in (
            ("mailbox", mailboxes, rows.rcpt.astype(np.intp)),
            ("domain", domains, domain.astype(np.intp)),
        ):
            known = relations.counts(mixed(victims.hash[slots], group)) >= KNOWN
            new = np.where(known, none, every)
            victims.last_at[slots] = at
            victims.all.add(slots, every, minute)
            victims.new.add(slots, new, minute)
            open_cases(self, scope, Counted(slots, every, new, minute, at))
        self.evidence.append(rows, at, self.sources.group[place], every)
        picked = np.flatnonzero(mailboxes.hot[rows.rcpt] | domains.hot[domain])
        if not picked.size:
            return {}, connects
        return hot_rows(self, take_rows(rows, picked), at[picked], domain[picked]), connects

    def _admit(self, rows: Rows, at: NDArray[np.int64]) -> None:
        """Begin with sources, mailboxes and domains that were not known."""
        for tracked in (self.sources, self.mailboxes):
            tracked.ensure()
        new, _ = self.sources.newcomers(rows.ip)
        if new.size:
            said = np.full(new.size, -1, np.int64)
            if (rows.asn >= 0).any():
                place = np.full(self.sources.known.size, -1, np.int64)
                place[new] = np.arange(new.size)
                mine = np.flatnonzero(place[rows.ip] >= 0)
                first = np.full(new.size, 2**62, np.int64)
                np.minimum.at(first, place[rows.ip[mine]], at[mine])
                mine = mine[at[mine] == first[place[rows.ip[mine]]]]
                np.maximum.at(said, place[rows.ip[mine]], rows.asn[mine])
            self.sources.admit(new, said, self.lookup)
            self.listings.ensure(self.sources.known.size)
        named = np.flatnonzero(rows.rcpt >= 0)
        new, first = self.mailboxes.newcomers(rows.rcpt[named])
        if new.size:
            since = at[named[first]]
            names = self.tables.mailboxes.names
            texts = [names[slot].rpartition("@")[2] for slot in new.tolist()]
            domain = self.domain_table.slots(texts, len(texts))
            self.domains.ensure()
            order = np.argsort(since, kind="stable")
            fresh, first = self.domains.newcomers(domain[order])
            self.domains.admit(fresh, since[order[first]])
            self.mailboxes.admit(new, since)
            self.mailboxes.domain[new] = domain
            self._gates.admit(new, fresh, int(at[0]) // MINUTE_S)

    def _count_outbound(self, rows: Rows, outbound: NDArray[np.bool_]) -> None:
        """Count what we sent, by the provider it went to (never a reason to list)."""
        index = np.flatnonzero(outbound)
        groups = self.sources.groups(rows.ip[index]).tolist()
        accepted = ((rows.outcome[index] & 15) == Outcome.ACCEPT).tolist()
        for group, count, good in zip(groups, rows.count[index].tolist(), accepted, strict=True):
            tally = self.outbound.setdefault(group, [0, 0])
            tally[0] += count
            tally[1] += 0 if good else count

    def _connects(
        self, rows: Rows, at: NDArray[np.int64], connect: NDArray[np.bool_]
    ) -> list[tuple[int, int, int]]:
        """Give (close, ip slot, attempts) of attempts that named no recipient."""
        index = np.flatnonzero(connect)
        ticks, ips = at[index].tolist(), rows.ip[index].tolist()
        return list(zip(ticks, ips, rows.count[index].tolist(), strict=True))

    # -- one close -----------------------------------------------------------------------------

    def _tick(
        self, tick: int, hot: Sequence[tuple[CaseRow, Case, Case | None]],
        connects: list[tuple[int, int, int]], controls: tuple[PendingControl, ...],
        *, minute_ends: bool,
    ) -> None:  # fmt: skip
        """Close one tick: allowlist, then offences, then ends and removals."""
        listings, observed = self.listings, self._observed(tick)
        self.collateral.observed_s = observed
        listings.begin(tick, observed, self.policy.clock.lateness_s)
        listings.allow(controls)
        touched: dict[Case, list[int]] = {}
        self._wake(tick, hot)
        forgiven, stops = listings.forgiven, listings.stops
        for row, case, own in hot:
            if tick < case.wake or (forgiven and is_forgiven(self, row)):
                continue
            if case.now < tick:
                case.advance(tick)
            stopped = case.flood is not None and stops(row.ip, row.tick)
            if (own is None or own.flood is None) and case.add(row, stopped=stopped):
                touched.setdefault(case, []).append(row.ip)
        offences: list[Offence] = []
        for scope in ("mailbox", "domain"):  # a mailbox's flood is taken out of its domain
            mine = [case for case in touched if case.scope == scope]
            for case in sorted(mine, key=lambda case: self.name(case.scope, case.slot)):
                offences += self._examiner.examine(case, touched[case], tick)
            refill(self, self._examiner.take_spoiled(), tick + 1)
        for _, ip, count in connects:
            listings.connect(ip, tick, count)
        listings.offences(offences)
        if (tick + 1) % PERIOD_S == 0:
            young_until = (self.log_start or 0) + self.policy.learning.young_s
            self._examiner.forgive(listings.withdraw(young_until), tick)
        if minute_ends:
            listings.ends()
        self._examiner.forgive(listings.answer(controls), tick)
        self._apply_changes(controls)
        self._records.count_listed()
        if minute_ends:
            self._end_minute(tick)
        self._records.close_tick(tick, touched, minute_ends=minute_ends)

    def _wake(self, tick: int, hot: Sequence[tuple[CaseRow, Case, Case | None]]) -> None:
        """Feed the cases whose counters pass at this tick what came before it."""
        waking = {case for _, case, _ in hot if case.now < 0 and case.wake == tick}
        for scope in ("mailbox", "domain"):
            if cases := [case for case in waking if case.scope == scope]:
                refill(self, cases, tick)

    # -- once a minute -------------------------------------------------------------------------

    def _apply_changes(self, controls: tuple[PendingControl, ...]) -> None:
        """Take a new policy or ASN table into force, from the next close on.

        Raises:
            AsnTableError: the runner has not offered the table that the control names.
        """
        for item in controls:
            match item.control:
                case PolicyChange(_, text):
                    self.take_policy_text(text, item.offset)
                case AsnTableChange(_, digest):
                    self.take_table(digest)
                    self._examiner.sources_moved()
                case _:
                    pass

    def _end_minute(self, tick: int) -> None:
        """Close calm cases, learn at the end of a slot, bound the memory, set the gates."""
        assert self.log_start is not None  # noqa: S101 - set by the first close
        slot_ends = (tick + 1) % PERIOD_S == 0
        masks = self.masks(self.flooded)
        for case in self.cases.values():
            case.patience = [0, 0, 0 if slot_ends else case.patience[2]]
        for case in [*self.flooded.values()] if slot_ends else ():
            case.advance(tick)
            if self._examiner.is_over(case, tick):
                self._records.end(case)
        for scope in ("mailbox", "domain"):
            self._close_calm(scope)
        self._count_minute(tick, masks)
        self.bound_cases(tick)
        if slot_ends:
            listed = self.listings.listed
            self.learner.period(tick, self.log_start, self.evidence, masks, listed)
            self.collateral.total = int(self.sources.normal.sum(dtype=np.int64))
        if (tick + 1) % DAY_S == 0:
            self.collateral.fade(self.sources.normal)
            self.listings.fade_costs()
            self.listings.lifecycle.fade(tick)
        self.learner.decay(tick // DAY_S)
        self.evidence.trim(tick + 1 - HOUR_S)
        self.listings.forgive_until(tick - HOUR_S)
        self.evict(tick)
        self._begin_minute(tick // MINUTE_S + 1)

    def _close_calm(self, scope: str) -> None:
        """Close the cases of a scope that have no flood, and whose counters mean none."""
        slots = [slot for kind, slot in self.cases if kind == scope]
        calm = ~passes(self, scope, np.array(slots, np.int64))
        for slot in itertools.compress(slots, calm.tolist()):
            if (scope, slot) not in self.flooded:
                del self.cases[scope, slot]
                self.victims(scope).hot[slot] = False

    def _count_minute(self, tick: int, flooded: Masks) -> None:
        """Count what a judged minute brought to victims that are not flooded."""
        first = tick // MINUTE_S * MINUTE_S
        rows, _ = self.evidence.between(first, tick + 1)
        messages = self.evidence.messages(first, tick + 1)
        clean = np.where(self.is_hit(flooded, rows.rcpt), np.uint32(0), messages)
        self.sources.end_minute(rows.ip, clean)
        clean[self.mailboxes.hot[rows.rcpt]] = 0  # may be the next flood: no wanted mail
        self.listings.count_costs(rows.ip, clean)

    def _begin_minute(self, minute: int) -> None:
        """Move the rings to a minute and set its gates."""
        for victims in (self.mailboxes, self.domains):
            victims.all.advance(minute)
            victims.new.advance(minute)
        self.sources.begin_minute(minute)
        self._gates.begin_minute(minute)

    def watermark(self) -> int | None:
        """Give the last closed tick, None before the first."""
        return None if self.closer.closed == BEFORE_ALL else self.closer.closed
