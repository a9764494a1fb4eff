"""Cells as tables for a terminal: by size, by shape and by innocent pattern, alone or compared."""

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.matrix.figures import Figure, by_pattern, by_shape, figures
from benchmarks.matrix.records import Cell
from benchmarks.quality_report import table

__all__ = ["text"]

LEAST_CELLS = 4
"""A fit of three unknowns needs more cells than that many."""


def text(cells: Sequence[Cell], before: Sequence[Cell] = ()) -> str:
    """Give the tables of each generator; with `before`, each figure as before -> after."""
    parts = []
    for generator in sorted({one.generator for one in cells}):
        mine = [one for one in cells if one.generator == generator]
        theirs = [one for one in before if one.generator == generator]
        parts.append(_generator(generator, mine, theirs))
    return "\n\n\n".join(parts)


def _by_size(cells: Sequence[Cell]) -> dict[int, list[Cell]]:
    sizes = sorted({one.events for one in cells})
    return {size: [one for one in cells if one.events == size] for size in sizes}


def _generator(name: str, cells: Sequence[Cell], before: Sequence[Cell]) -> str:
    sizes, old = _by_size(cells), _by_size(before)
    seeds = ", ".join(f"{size:,}: {len(mine)}" for size, mine in sizes.items())
    judged = {size: figures(mine) for size, mine in sizes.items()}
    were = {size: figures(mine) for size, mine in old.items()}
    head = ("", *(f"{size:,}" for size in sizes), "wanted")
    rows = []
    for at, label in enumerate(next(iter(judged.values()))):
        line = {size: column[at] for size, column in judged.items()}
        then = {size: column[at] for size, column in were.items()}
        rows.append([label.name, *_cells(line, then, sizes), _wanted(line)])
    return "\n\n".join(
        [
            f"{name} generator; seeds by size: {seeds}",
            table(head, rows),
            _fit(cells, before),
            _keyed(
                "shape: of the oracle's (mean over seeds), found",
                {size: by_shape(mine) for size, mine in sizes.items()},
                {size: by_shape(mine) for size, mine in old.items()},
            ),
            _keyed(
                "innocent pattern: must-not sources listed",
                {size: by_pattern(mine) for size, mine in sizes.items()},
                {size: by_pattern(mine) for size, mine in old.items()},
            ),
        ]
    )


def _cells(
    line: Mapping[int, Figure], then: Mapping[int, Figure], sizes: Mapping[int, object]
) -> list[str]:
    """Give the texts of one row, a size each."""
    return [_cell(line.get(size), then.get(size), compared=bool(then)) for size in sizes]


def _cell(now: Figure | None, was: Figure | None, *, compared: bool) -> str:
    if now is None:
        return "-"
    text = now.text
    if compared:
        text = f"{was.text if was else '?'} -> {text}"
    return f"{text} {now.mark}".rstrip()


def _wanted(line: Mapping[int, Figure]) -> str:
    """Give what is wanted, with the sizes where that differs."""
    targets: dict[str, list[int]] = {}
    for size, one in line.items():
        if one.wanted:
            targets.setdefault(one.wanted, []).append(size)
    if [*targets.values()] == [[*line]]:
        return next(iter(targets))
    return "; ".join(
        f"{wanted} at {', '.join(f'{size:,}' for size in sizes)}"
        for wanted, sizes in targets.items()
    )


def _keyed(
    title: str, now: Mapping[int, Mapping[str, Figure]], was: Mapping[int, Mapping[str, Figure]]
) -> str:
    """Lay out one row a key, one column a size."""
    keys = sorted({key for column in now.values() for key in column})
    rows = []
    for key in keys:
        line = {size: column[key] for size, column in now.items() if key in column}
        then = {size: column[key] for size, column in was.items() if key in column}
        rows.append([key, *_cells(line, then, now)])
    return table((title, *(f"{size:,}" for size in now)), rows)


def _fit(cells: Sequence[Cell], before: Sequence[Cell]) -> str:
    now, was = _costs(cells), _costs(before)
    if now is None:
        return "CPU of the replay: too few cells to estimate it inside and outside floods"
    then = f"{was} -> " if was else ""
    return f"CPU of the replay (estimated by least squares over {len(cells)} cells): {then}{now}"


def _costs(cells: Sequence[Cell]) -> str | None:
    """Estimate cpu seconds = a + b normal events + c flood events, small sites counting as well."""
    if len(cells) < LEAST_CELLS:
        return None
    known = np.array([(1.0, one.normal_events, one.flood_events) for one in cells])
    weight = np.array([one.events for one in cells]) ** -0.5
    spent = np.array([one.cpu_s for one in cells]) * weight
    (start, normal, flood), *_ = np.linalg.lstsq(known * weight[:, np.newaxis], spent)
    return (
        f"{start:.1f} s + {normal * 1e6:.1f} µs an event outside floods"
        f" + {flood * 1e6:.1f} µs an event inside"
    )
