"""Simulated traffic as files: events in the JSON contract, and the truth beside them."""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
from numpy.random import Generator

from detector.events.contract import OUTBOUND, Outcome
from pipelines.simulate.columns import as_ints
from pipelines.simulate.outcomes import ACTIONS, CAUSES, REASONS
from pipelines.simulate.traffic import TrafficResult

__all__ = ["event_lines", "truth_header", "write_events", "write_lines", "write_truth"]

_CHUNK = 20_000


@dataclass(frozen=True, slots=True)
class _Style:
    """Which optional fields this log has, and how it writes times."""

    offset: timezone | None
    received: bool
    asn: bool
    sender_gap: float
    helo: bool
    rdns: bool
    reason: bool
    cause: bool
    size: bool
    list_id: bool
    queue_id: bool

    @classmethod
    def draw(cls, rng: Generator, result: TrafficResult) -> "_Style":
        spec = result.spec
        text = rng.random() < 0.5  # noqa: PLR2004
        if spec.time_format is not None:
            text = spec.time_format == "rfc3339"
        zones = (UTC, UTC, timezone(timedelta(hours=2)), timezone(-timedelta(hours=5)))
        zone = zones[int(rng.integers(len(zones)))]
        chance = rng.random(10)
        return cls(
            offset=zone if text else None,
            received=bool(chance[0] < 0.3) if spec.received is None else spec.received,  # noqa: PLR2004
            asn=bool(chance[1] < 0.2) if spec.asn_field is None else spec.asn_field,  # noqa: PLR2004
            sender_gap=float(chance[2] * 0.04) if chance[3] < 0.3 else 0.0,  # noqa: PLR2004
            helo=bool(chance[4] < 0.5),  # noqa: PLR2004
            rdns=bool(chance[5] < 0.4),  # noqa: PLR2004
            reason=bool(chance[6] < 0.8),  # noqa: PLR2004
            cause=bool(chance[7] < 0.95),  # noqa: PLR2004
            size=bool(chance[8] < 0.5),  # noqa: PLR2004
            list_id=bool(chance[9] < 0.5),  # noqa: PLR2004
            queue_id=True,
        )


def event_lines(result: TrafficResult, queue_ids: list[str | None] | None = None) -> Iterator[str]:
    """Give one JSON object (without its newline) for each event, in file order.

    `queue_ids` replaces the invented queue ids, one entry an event.
    """
    rng = np.random.default_rng([result.spec.seed, *b"writer"])
    style = _Style.draw(rng, result)
    rows, world, total = result.rows, result.world, len(result)
    quoted = [json.dumps(text) for text in world.texts.texts]
    ips, asns = world.network.ips, world.network.asns
    tails = _tails(style)
    moment = _moment(style.offset)
    serial = rng.permutation(total) + int(rng.integers(1 << 30))
    has_message = rows.message >= 0
    serial = np.where(has_message, (rows.message * 2_654_435_761) % (1 << 34), serial)
    no_sender = rng.random(total) < (style.sender_gap if queue_ids is None else 0)
    sizes = as_ints(rng.lognormal(9.5, 1.2, total))
    reasons = rng.integers(4, size=total)
    for begin in range(0, total, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        columns = zip(
            range(begin, total),
            rows.time_ms[part].tolist(),
            rows.ip[part].tolist(),
            rows.recipient[part].tolist(),
            rows.sender[part].tolist(),
            rows.outcome[part].tolist(),
            result.group[part].tolist(),
            result.arrival_ms[part].tolist(),
            result.host[part].tolist(),
            serial[part].tolist(),
            no_sender[part].tolist(),
            sizes[part].tolist(),
            reasons[part].tolist(),
            strict=False,
        )
        for at, time, ip, to, by, code, group, arrival, host, number, gap, size, pick in columns:
            texts = tails[code]
            line = f'{{"time":{moment(time)},"client_ip":"{ips[ip]}",{texts[pick % len(texts)]}'
            if to >= 0:
                line += f',"recipient":{quoted[to]}'
            if by >= 0 and not gap:
                line += f',"sender":{quoted[by]}'
            line += f',"host":"mx{host + 1}.fw.example"'
            if style.received:
                line += f',"received":{moment(arrival)}'
            if style.asn:
                line += f',"asn":{asns[ip]}'
            if style.helo:
                line += f',"helo":"mail{ip % 97}.h{ip}.test"'
            if style.rdns and ip % 5:
                line += f',"rdns":"mail{ip % 97}.h{ip}.test"'
            if queue_ids is not None:
                named = queue_ids[at]
                if named is not None:
                    line += f',"queue_id":"{named}"'
            elif code & 15 <= Outcome.DISCARD:
                line += f',"queue_id":"{number:010X}"'
            if style.size and code & 15 <= Outcome.DISCARD:
                line += f',"size":{size + 400}'
            if style.list_id and group in result.list_ids:
                line += f',"list_id":"{result.list_ids[group]}"'
            yield line + "}"


def write_events(
    result: TrafficResult, path: Path, queue_ids: list[str | None] | None = None
) -> int:
    """Write the events as NDJSON to `path` (compressed when it ends in `.gz`); give their count."""
    write_lines(event_lines(result, queue_ids), path)
    return len(result)


def truth_header(result: TrafficResult) -> dict[str, object]:
    """Give the first record of the truth."""
    return {
        "truth": 1,
        "seed": result.spec.seed,
        "start_ms": result.horizon.start_ms,
        "end_ms": result.horizon.end_ms,
        "events": len(result),
        "groups": [asdict(group) for group in result.groups],
    }


def write_truth(result: TrafficResult, path: Path) -> int:
    """Write the truth as NDJSON to `path`: the header, then the group of each event's line."""

    def lines() -> Iterator[str]:
        yield json.dumps(truth_header(result), separators=(",", ":"))
        yield from map(str, result.group.tolist())

    write_lines(lines(), path)
    return len(result)


def _tails(style: _Style) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for outcome in Outcome:
        text = f'"action":"{ACTIONS[outcome]}"'
        if style.cause and outcome in CAUSES:
            text += f',"cause":"{CAUSES[outcome]}"'
        reasons = REASONS.get(outcome, ()) if style.reason else ()
        found[outcome] = [f'{text},"reason":{json.dumps(reason)}' for reason in reasons] or [text]
        found[outcome | OUTBOUND] = [f'{each},"direction":"outbound"' for each in found[outcome]]
    return found


def _moment(offset: timezone | None) -> Callable[[int], str]:
    if offset is None:
        return str
    ending = "Z" if offset is UTC else datetime.fromtimestamp(0, offset).isoformat()[-6:]
    seconds: dict[int, str] = {}

    def rfc3339(time_ms: int) -> str:
        second, rest = divmod(time_ms, 1000)
        text = seconds.get(second)
        if text is None:
            if len(seconds) > _CHUNK:
                seconds.clear()
            text = datetime.fromtimestamp(second, offset).strftime("%Y-%m-%dT%H:%M:%S")
            seconds[second] = text
        return f'"{text}.{rest:03d}{ending}"'

    return rfc3339


def write_lines(lines: Iterator[str], path: Path) -> None:
    """Write lines to `path`, compressed (the same bytes each time) when it ends in `.gz`."""
    if path.suffix == ".gz":
        with (
            path.open("wb") as raw,
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
        ):
            packed.writelines(f"{line}\n".encode() for line in lines)
    else:
        with path.open("w", encoding="utf-8", newline="\n") as plain:
            plain.writelines(f"{line}\n" for line in lines)
