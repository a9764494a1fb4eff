"""The figures of the cells of one size, each beside its target."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf, isinf
from statistics import fmean, median

from benchmarks.matrix.records import Cell, Flood, Part

__all__ = ["Figure", "by_pattern", "by_shape", "figures"]

LEAST_ORACLE = 30
"""A flood that the oracle stops so many messages of must be found."""
LEAST_OF_SHAPE = 100
"""A shape counts in a seed from so many messages that the oracle stops."""
LARGE_FLOOD = 1_000
SMALL_SITE, MIDDLE_SITE = 60_000, 200_000
WORST_SHAPE = 0.88


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure as text, what is wanted of it, and whether that is kept (None: nothing is)."""

    name: str
    text: str
    wanted: str = ""
    kept: bool | None = None

    @property
    def mark(self) -> str:
        """Give `ok`, `MISSED` or nothing."""
        return "" if self.kept is None else "ok" if self.kept else "MISSED"


def figures(cells: Sequence[Cell]) -> list[Figure]:
    """Give the figures of cells of one size, in the order in which they are shown."""
    return [*_stopped(cells), *_innocents(cells), *_times(cells), _cpu(cells)]


def _percent(share: float | None, digits: int = 1) -> str:
    return "-" if share is None else f"{share * 100:.{digits}f} %"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return "never" if isinf(value) else f"{value:,.1f}".removesuffix(".0")


def _share(floods: Iterable[Flood]) -> float | None:
    """Give the messages stopped as a share of what the oracle stops; None where it stops none."""
    every = list(floods)
    of = sum(one.oracle_stopped for one in every)
    return sum(one.stopped for one in every) / of if of else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _least(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _all(cells: Iterable[Cell]) -> list[Flood]:
    return [flood for cell in cells for flood in cell.floods]


def _at_least(name: str, value: float | None, limit: float | None, more: str = "") -> Figure:
    if limit is None or value is None:
        return Figure(name, _percent(value) + more)
    return Figure(name, _percent(value) + more, f">= {limit * 100:g} %", value >= limit)


def _found(name: str, floods: Iterable[Flood]) -> Figure:
    due = [one for one in floods if one.oracle_stopped >= LEAST_ORACLE]
    found = sum(one.found for one in due)
    return Figure(name, f"{found}/{len(due)}", "all", found == len(due) if due else None)


def _stopped(cells: Sequence[Cell]) -> list[Figure]:
    events = cells[0].events
    whole = [_share(cell.floods) for cell in cells]
    late = [_share(one for one in cell.floods if not one.early) for cell in cells]
    early = [one for one in _all(cells) if one.early]
    beyond = [one.oracle_stopped - one.stopped for one in _all(cells)]
    small = events <= SMALL_SITE
    wanted = None if small else 0.96 if events <= MIDDLE_SITE else 0.98
    between = median(beyond) if beyond else None
    large = _share(one for one in _all(cells) if one.messages >= LARGE_FLOOD)
    return [
        _found("floods found", _all(cells)),
        Figure("stopped, of the oracle's: mean", _percent(_mean(whole))),
        Figure("  worst seed", _percent(_least(whole))),
        _at_least("behind the first hour: mean", _mean(late), wanted),
        Figure("  worst seed", _percent(_least(late))),
        Figure("in the first hour: found", f"{sum(one.found for one in early)}/{len(early)}"),
        Figure("  stopped, of the oracle's", _percent(_share(early))),
        _worst_shape("worst shape", cells, [False, True]),
        _worst_shape("  behind the first hour", cells, [False]),
        Figure(
            "let through beyond the oracle, median",
            _number(between),
            "<= 20" if small else "",
            between <= 20 if small and between is not None else None,
        ),
        _at_least("floods of 1,000: of the oracle's", large, 0.93 if small else None),
    ]


def shape_shares(cells: Iterable[Cell], early: Sequence[bool]) -> dict[str, list[float]]:
    """Give by shape its share of the oracle in each seed where it counts."""
    shares: dict[str, list[float]] = {}
    for cell in cells:
        floods = [one for one in cell.floods if one.early in early]
        for shape in {one.shape for one in floods}:
            mine = [one for one in floods if one.shape == shape]
            share = _share(mine)
            if share is not None and sum(one.oracle_stopped for one in mine) >= LEAST_OF_SHAPE:
                shares.setdefault(shape, []).append(share)
    return shares


def _worst_shape(name: str, cells: Sequence[Cell], early: Sequence[bool]) -> Figure:
    means = {shape: fmean(shares) for shape, shares in shape_shares(cells, early).items()}
    worst = min(means, key=lambda shape: means[shape], default=None)
    if worst is None:
        return Figure(name, "-")
    return _at_least(name, means[worst], WORST_SHAPE, f" {worst}")


def _sum(parts: Iterable[Part]) -> Part:
    every = list(parts)
    return Part(sum(one.listed for one in every), sum(one.total for one in every))


def _of(part: Part) -> float:
    return part.listed / part.total if part.total else 0.0


def _innocents(cells: Sequence[Cell]) -> list[Figure]:
    must_not, far = _sum(one.must_not for one in cells), _sum(one.far for one in cells)
    beside = _of(_sum(one.bystanders for one in cells))
    worst = max((one.must_not for one in cells), key=lambda part: (_of(part), part.listed))
    in_limits = all(one.must_not.listed <= max(2, 0.005 * one.must_not.total) for one in cells)
    legitimate = sum(one.legitimate for one in cells)
    blocked = sum(one.blocked_innocent for one in cells) / legitimate
    worst_blocked = max(one.blocked_innocent / one.legitimate for one in cells)
    guilty = sum(one.blocked_guilty for one in cells) / legitimate
    listed = f"{must_not.listed:,}/{must_not.total:,} ({_percent(_of(must_not), 2)})"
    return [
        Figure("must-not sources listed", listed, "<= 0.1 %", _of(must_not) <= 0.001),
        Figure(
            "  worst seed",
            f"{worst.listed:,} ({_percent(_of(worst), 2)})",
            "<= max(2, 0.5 %)",
            in_limits,
        ),
        Figure(
            "far innocents listed per 10,000", f"{_of(far) * 1e4:.2f}", "<= 1", _of(far) <= 1e-4
        ),
        Figure("bystanders listed", _percent(beside), "<= 8 %", beside <= 0.08),
        Figure("innocents' mail blocked", _percent(blocked, 3), "<= 0.05 %", blocked <= 0.0005),
        Figure("  worst seed", _percent(worst_blocked, 3), "<= 0.3 %", worst_blocked <= 0.003),
        Figure("guilty's other mail blocked", _percent(guilty, 2)),
    ]


def _times(cells: Sequence[Cell]) -> list[Figure]:
    rows: list[Figure] = []
    fast, ramps = "fast flood, s to listing", "slow ramp, rate/min at listing"
    for early, behind in ((True, ""), (False, "  behind the first hour")):
        floods = [one for one in _all(cells) if early or not one.early]
        bombs = [one.delay_s for one in floods if one.shape.startswith("list_bomb")]
        rates = [
            inf if one.rate_per_min is None else float(one.rate_per_min)
            for one in floods
            if one.shape == "slow_ramp"
        ]
        quick = [one.delay_s for one in floods if one.fast]
        rows += [
            _worst(behind or fast, quick, 10),
            _worst(behind or "list bomb, s to listing", bombs, 180),
            _worst(behind or ramps, rates, 15, strict=True),
        ]
    half = len(rows) // 2
    return [row for pair in zip(rows[:half], rows[half:], strict=True) for row in pair]


def _worst(name: str, values: Sequence[float], limit: float, *, strict: bool = False) -> Figure:
    """Judge the worst of the values; the median and how many are beyond the limit stand beside."""
    wanted = f"{'<' if strict else '<='} {limit:g}"
    if not values:
        return Figure(name, "-", wanted)
    beyond = sum(value >= limit if strict else value > limit for value in values)
    text = f"{_number(median(values))}, worst {_number(max(values))}"
    return Figure(name, text + f" ({beyond} of {len(values)})" * (beyond > 0), wanted, not beyond)


def _cpu(cells: Sequence[Cell]) -> Figure:
    lines = sum(one.normal_events + one.flood_events for one in cells)
    return Figure(
        "replay, CPU µs per event, all in", f"{sum(c.cpu_s for c in cells) / lines * 1e6:.1f}"
    )


def by_shape(cells: Sequence[Cell]) -> dict[str, Figure]:
    """Give for each shape its share of the oracle (mean over seeds) and its floods found."""
    shares = shape_shares(cells, [False, True])
    found: dict[str, Figure] = {}
    for shape in sorted({one.shape for one in _all(cells)}):
        floods = _found(shape, [one for one in _all(cells) if one.shape == shape])
        share = _mean(shares.get(shape, []))
        kept = floods.kept is not False and (share is None or share >= WORST_SHAPE)
        found[shape] = Figure(shape, f"{_percent(share)} {floods.text}", ">= 88 %, all", kept)
    return found


def by_pattern(cells: Sequence[Cell]) -> dict[str, Figure]:
    """Give for each innocent pattern how many of its sources were listed."""
    names = sorted({name for cell in cells for name in cell.patterns})
    sums = {name: _sum(c.patterns[name] for c in cells if name in c.patterns) for name in names}
    return {name: Figure(name, f"{one.listed:,}/{one.total:,}") for name, one in sums.items()}
