"""Scores as text tables and as JSON: one traffic, and means and worst over several."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf, isinf
from typing import Any

import orjson

from benchmarks.quality_listings import Listings, oracle, references
from benchmarks.quality_score import Check, Listed, Score, checks, score, shapes
from benchmarks.quality_traffic import Traffic

__all__ = ["Report", "as_json", "report", "summary_text", "table", "text"]

NONE = "-"


@dataclass(frozen=True, slots=True)
class Report:
    """The score of a decision file, of the oracle and of the references on one traffic."""

    traffic: str
    patterns: tuple[str, ...]
    product: Score
    oracle: Score
    references: tuple[Score, ...]
    checks: tuple[Check, ...]


def report(traffic: Traffic, listings: Listings) -> Report:
    """Score listings beside the oracle and the references on the same traffic."""
    best = oracle(traffic)
    product = score(traffic, listings, best)
    floods = sum(group.kind == "flood" for group in traffic.groups)
    messages = len(traffic.time_ms)
    share = product.legitimate / messages if messages else 0.0
    return Report(
        traffic=(
            f"{traffic.lines:,} lines: {messages:,} messages ({_percent(share)} legitimate) "
            f"of {len(traffic.subjects):,} sources, {floods} floods; left out: "
            f"{traffic.connects:,} without recipient, {traffic.outbound:,} outbound, "
            f"{traffic.unread:,} unreadable"
        ),
        patterns=tuple(sorted({one.shape for one in traffic.groups if one.kind == "innocent"})),
        product=product,
        oracle=score(traffic, best, best),
        references=tuple(score(traffic, one, best) for one in references(traffic)),
        checks=checks(product),
    )


def _percent(share: float | None, digits: int = 1) -> str:
    return NONE if share is None else f"{share * 100:.{digits}f} %"


def _number(value: float | None) -> str:
    if value is None:
        return NONE
    return "never" if isinf(value) else f"{value:,.1f}".removesuffix(".0")


def _ratio(part: int, whole: int) -> str:
    return _percent(part / whole) if whole else NONE


def _listed(one: Listed) -> str:
    return f"{one.listed:,}/{one.total:,} ({_percent(one.share)})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out cells, the first column to the left, the others to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _shape_rows(result: Score) -> list[list[str]]:
    return [
        [
            one.shape,
            f"{one.found}/{one.floods}" + (f" +{one.too_small}" if one.too_small else ""),
            f"{one.messages:,}",
            _ratio(one.listed_messages, one.messages),
            f"{one.stopped:,}",
            _ratio(one.stopped, one.messages),
            _percent(one.oracle_share),
            _number(one.median_s),
            _number(one.worst_s),
            _number(one.worst_rate_per_min) if one.shape == "slow_ramp" else NONE,
        ]
        for one in shapes(result.floods)
    ]


def _rival_row(result: Score) -> list[str]:
    whole = shapes(result.floods)[-1]
    return [
        result.name,
        f"{whole.found}/{whole.floods}",
        _ratio(whole.listed_messages, whole.messages),
        _ratio(whole.stopped, whole.messages),
        _percent(whole.oracle_share),
        _listed(result.must_not),
        _listed(result.far),
        _listed(result.bystanders),
        _percent(result.blocked_innocent_share, 3),
        _percent(result.blocked_guilty_share, 3),
    ]


def _figure(check: Check, value: float | None) -> str:
    return _percent(value, 3) if check.percent else _number(value)


def _verdict(kept: bool | None) -> str:
    return "nothing to measure" if kept is None else "pass" if kept else "FAIL"


def _flood_rows(result: Score) -> list[list[str]]:
    return [
        [
            f"{one.id} {one.shape}",
            f"{one.sources:,}",
            f"{one.messages:,}",
            _ratio(one.listed_messages, one.messages),
            _ratio(one.stopped, one.messages),
            _ratio(one.stopped, one.oracle_stopped),
            _number(one.seconds),
            _number(one.rate_per_min),
            "fast" if one.fast else "",
        ]
        for one in result.floods
    ]


def text(one: Report, *, floods: bool = False) -> str:
    """Give the tables of one traffic for a terminal, on demand with a line for each flood."""
    shape_head = (
        "shape", "found", "messages", "listed*", "stopped", "of all", "of oracle",
        "median s", "worst s", "rate/min",
    )  # fmt: skip
    rival_head = (
        "", "found", "listed*", "stopped", "of oracle", "must-not", "far innocents",
        "bystanders", "blocked innocent", "collateral",
    )  # fmt: skip
    rivals = [one.product, one.oracle, *one.references]
    patterns = ", ".join(f"{name} {count}" for name, count in one.product.must_not_patterns.items())
    parts = [
        one.traffic,
        f"innocent patterns: {', '.join(one.patterns) or 'none'}",
        table(shape_head, _shape_rows(one.product)),
        (
            "* share of the messages whose source was listed; +n: floods below 30 messages; seconds"
            "\n  from the 30th message to the first listing; rate/min of slow ramps at that listing"
        ),
        table(rival_head, map(_rival_row, rivals)),
        table(
            ("target", "figure", "wanted", ""),
            [(c.name, _figure(c, c.value), c.target, _verdict(c.kept)) for c in one.checks],
        ),
    ]
    if floods:
        flood_head = (
            "flood", "sources", "messages", "listed*", "of all", "of oracle", "seconds",
            "rate/min", "",
        )  # fmt: skip
        parts.append(table(flood_head, _flood_rows(one.product)))
    if patterns:
        parts.append(f"must-not sources listed, by pattern: {patterns}")
    return "\n\n".join(parts)


@dataclass(frozen=True, slots=True)
class OverSeeds:
    """One target line over the seeds that have something to measure for it."""

    check: Check
    mean: float | None
    worst: float | None
    kept: bool | None


def _over_seeds(reports: Mapping[int, Report]) -> list[OverSeeds]:
    """Give mean, worst and verdict of each target line."""
    lines: list[OverSeeds] = []
    for column in zip(*(one.checks for one in reports.values()), strict=True):
        values = [one.value for one in column if one.value is not None]
        verdicts = [one.kept for one in column if one.kept is not None]
        pick = min if column[0].more_is_better else max
        lines.append(
            OverSeeds(
                check=column[0],
                mean=sum(values) / len(values) if values else None,
                worst=pick(values, default=None),
                kept=all(verdicts) if verdicts else None,
            )
        )
    return lines


def summary_text(reports: Mapping[int, Report]) -> str:
    """Give means and worst over seeds, of the target lines and of the references."""
    rows = [
        (
            line.check.name,
            _figure(line.check, line.mean),
            _figure(line.check, line.worst),
            line.check.target,
            _verdict(line.kept),
        )
        for line in _over_seeds(reports)
    ]
    rivals: dict[str, list[Score]] = {}
    for one in reports.values():
        for result in (one.product, one.oracle, *one.references):
            rivals.setdefault(result.name, []).append(result)
    head = (
        "mean over seeds", "of oracle", "must-not", "far", "bystanders",
        "blocked innocent", "collateral",
    )  # fmt: skip
    return "\n\n".join(
        [
            f"over seeds {', '.join(map(str, reports))}",
            table(("target", "mean", "worst", "wanted", ""), rows),
            table(head, [_mean_row(name, results) for name, results in rivals.items()]),
        ]
    )


def _mean_row(name: str, results: Sequence[Score]) -> list[str]:
    shares = [shapes(one.floods)[-1].oracle_share for one in results]
    known = [share for share in shares if share is not None]
    count = len(results)
    return [
        name,
        _mean_share(known),
        _percent(sum(one.must_not.share for one in results) / count),
        _percent(sum(one.far.share for one in results) / count),
        _percent(sum(one.bystanders.share for one in results) / count),
        _percent(sum(one.blocked_innocent_share for one in results) / count, 3),
        _percent(sum(one.blocked_guilty_share for one in results) / count, 3),
    ]


def _mean_share(shares: Sequence[float]) -> str:
    return _percent(sum(shares) / len(shares)) if shares else NONE


def _finite(value: Any) -> Any:
    """Write infinity as null, through all of a JSON value."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if value == inf else value


def _score_value(result: Score) -> dict[str, Any]:
    value = asdict(result)
    value["shapes"] = [
        {**asdict(one), "oracle_share": one.oracle_share} for one in shapes(result.floods)
    ]
    value["blocked_innocent_share"] = result.blocked_innocent_share
    value["blocked_guilty_share"] = result.blocked_guilty_share
    return value


def _report_value(one: Report) -> dict[str, Any]:
    return {
        "traffic": one.traffic,
        "patterns": one.patterns,
        "product": _score_value(one.product),
        "oracle": _score_value(one.oracle),
        "references": [_score_value(result) for result in one.references],
        "checks": [asdict(check) for check in one.checks],
    }


def as_json(reports: Mapping[int, Report] | Report) -> bytes:
    """Give one report, or those of several seeds with their summary, as JSON; infinity as null."""
    if isinstance(reports, Report):
        value = _report_value(reports)
    else:
        over = [
            {
                "name": line.check.name,
                "mean": line.mean,
                "worst": line.worst,
                "target": line.check.target,
                "kept": line.kept,
            }
            for line in _over_seeds(reports)
        ]
        seeds = {str(seed): _report_value(one) for seed, one in reports.items()}
        value = {"seeds": seeds, "summary": over}
    return orjson.dumps(_finite(value), option=orjson.OPT_INDENT_2)
