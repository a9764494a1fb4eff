"""The matrix judges cells as its targets say, and compares them with what was before."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from benchmarks import quality
from benchmarks.matrix import run, traffics
from benchmarks.matrix.cell import scored
from benchmarks.matrix.changed import parsed
from benchmarks.matrix.figures import Figure, by_pattern, by_shape, figures
from benchmarks.matrix.records import Cell, Flood, Part
from benchmarks.matrix.run import jobs_of
from benchmarks.matrix.sensitivity import constants
from benchmarks.matrix.tables import text
from benchmarks.quality_traffic import read_traffic
from tests.quality_story import A, one_a_second

ROOT = Path(traffics.ROOT)


def a_flood(**fields: object) -> Flood:
    plain = Flood(
        name="x", shape="direct", fast=True, early=False, messages=2_000, stopped=990,
        oracle_stopped=1_000, seconds=4.0, rate_per_min=14,
    )  # fmt: skip
    return replace(plain, **fields)  # type: ignore[arg-type]


def a_cell(*floods: Flood, **fields: object) -> Cell:
    plain = Cell(
        generator="first", version="v", events=100_000, seed=1, normal_events=90_000,
        flood_events=10_000, legitimate=80_000, floods=floods or (a_flood(),),
        must_not=Part(0, 2_000), patterns={"ticket": Part(0, 300)}, far=Part(0, 5_000),
        bystanders=Part(0, 100), blocked_innocent=0, blocked_guilty=0, cpu_s=10.0, wall_s=11.0,
    )  # fmt: skip
    return replace(plain, **fields)  # type: ignore[arg-type]


def judged(*cells: Cell) -> dict[str, list[Figure]]:
    found: dict[str, list[Figure]] = {}
    last = ""
    for figure in figures(cells):
        last = last if figure.name.startswith(" ") else figure.name
        found.setdefault(last, []).append(figure)
    return found


def missed(*cells: Cell) -> set[str]:
    return {name for name, rows in judged(*cells).items() if any(r.kept is False for r in rows)}


def test_a_good_cell_misses_nothing() -> None:
    assert missed(a_cell()) == set()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"must_not": Part(11, 10_000)}, "must-not sources listed"),
        ({"far": Part(2, 19_999)}, "far innocents listed per 10,000"),
        ({"bystanders": Part(9, 100)}, "bystanders listed"),
        ({"blocked_innocent": 41}, "innocents' mail blocked"),
    ],
)
def test_each_limit_of_the_innocents_is_held(change: dict[str, object], name: str) -> None:
    assert missed(a_cell(**change)) == {name}


def test_a_seed_may_list_two_must_not_sources_however_few_there_are() -> None:
    many = [a_cell(seed=seed) for seed in range(1, 10)]
    _, worst = judged(*many, a_cell(must_not=Part(2, 100)))["must-not sources listed"]
    assert (worst.text, worst.kept) == ("2 (2.00 %)", True)
    _, worst = judged(*many, a_cell(must_not=Part(3, 100)))["must-not sources listed"]
    assert worst.kept is False


def test_the_share_wanted_depends_on_the_size_and_small_sites_count_messages() -> None:
    flood = a_flood(stopped=970)
    name = "behind the first hour: mean"
    assert [judged(a_cell(flood, events=n))[name][0].mark for n in (100_000, 301_000)] == [
        "ok",
        "MISSED",
    ]
    small = judged(a_cell(flood, events=30_000))
    assert small[name][0].mark == ""
    assert small["let through beyond the oracle, median"][0].text == "30"
    assert small["let through beyond the oracle, median"][0].mark == "MISSED"
    assert small["floods of 1,000: of the oracle's"][0].mark == "ok"


def test_the_first_hour_is_judged_apart() -> None:
    early = a_flood(early=True, stopped=0, seconds=None, rate_per_min=None)
    rows = judged(a_cell(a_flood(), early))
    assert rows["floods found"][0].text == "1/2"
    assert rows["stopped, of the oracle's: mean"][0].text == "49.5 %"
    assert rows["behind the first hour: mean"][0].text == "99.0 %"
    assert [row.text for row in rows["in the first hour: found"]] == ["0/1", "0.0 %"]
    whole, behind = rows["fast flood, s to listing"]
    assert whole.text == "never, worst never (1 of 2)"
    assert (behind.text, behind.kept) == ("4, worst 4", True)


def test_a_shape_counts_from_a_hundred_messages_and_as_a_mean_over_seeds() -> None:
    tiny = a_flood(shape="pulse", stopped=0, oracle_stopped=99)
    cells = [
        a_cell(a_flood(stopped=800), tiny),
        a_cell(a_flood(stopped=1_000), tiny, seed=2),
    ]
    worst, _ = judged(*cells)["worst shape"]
    assert (worst.text, worst.kept) == ("90.0 % direct", True)
    assert by_shape(cells)["direct"].text == "90.0 % 2/2"
    assert by_shape(cells)["pulse"].text == "- 2/2"


def test_patterns_are_summed_over_seeds() -> None:
    cells = [a_cell(patterns={"ticket": Part(1, 300)}), a_cell(patterns={"ticket": Part(2, 50)})]
    assert by_pattern(cells)["ticket"].text == "3/350"


def test_tables_show_each_figure_beside_its_target_and_what_it_was() -> None:
    cells = [a_cell(a_flood(), seed=seed, events=n) for n in (30_000, 301_000) for seed in (1, 2)]
    before = [replace(cell, floods=(a_flood(stopped=900),)) for cell in cells]
    alone, compared = text(cells), text(cells, before)
    assert "behind the first hour: mean" in alone
    assert ">= 98 % at 301,000" in alone
    row = next(line for line in compared.split("\n") if line.startswith("behind the first hour"))
    assert "90.0 % -> 99.0 % ok" in row
    assert "least squares over 4 cells" in alone


def test_a_fit_finds_what_events_cost_inside_and_outside_floods() -> None:
    sizes = ((10_000, 1_000), (20_000, 9_000), (40_000, 2_000), (80_000, 500))
    cells = [
        a_cell(normal_events=n, flood_events=f, seed=f, cpu_s=2 + n * 10e-6 + f * 40e-6)
        for n, f in sizes
    ]
    assert "2.0 s + 10.0 µs an event outside floods + 40.0 µs an event inside" in text(cells)


def test_a_cell_says_which_floods_are_early_and_whose_sources_were_listed() -> None:
    story = one_a_second()
    story.decide(35_000, "list", A)
    traffic = story.traffic()
    about = {
        "generator": "first", "version": "v", "events": 1, "seed": 1, "cpu_s": 0.0, "wall_s": 0.0,
    }  # fmt: skip
    cell = scored(traffic, story.listings(), about)
    (flood,) = cell.floods
    assert (flood.early, flood.oracle_stopped, flood.found) == (True, 30, True)
    assert cell.flood_events == flood.messages
    assert msgspec.json.decode(msgspec.json.encode(cell), type=Cell) == cell


def test_the_largest_cells_run_first_and_fresh_seeds_are_others() -> None:
    jobs = jobs_of([30_000, 1_000_000], None, ["first"], fresh=False)
    assert jobs[:5] == [("first", 1_000_000, seed) for seed in (1, 2, 3, 4)] + [
        ("first", 30_000, 1)
    ]
    assert len(jobs) == 14
    assert jobs_of([30_000], None, ["first"], fresh=True)[0] == ("first", 30_000, 9_001)


def test_traffic_is_made_once_and_read_back_as_it_was(tmp_path: Path) -> None:
    place = traffics.ensure(tmp_path, "first", 3_000, 5)
    made = (place / traffics.EVENTS).stat().st_mtime_ns
    assert traffics.ensure(tmp_path, "first", 3_000, 5) == place
    assert (place / traffics.EVENTS).stat().st_mtime_ns == made
    kept = traffics.load(place)
    plain = read_traffic(place / traffics.EVENTS, place / "truth.ndjson")
    assert kept.groups == plain.groups
    assert (kept.subjects, kept.mailboxes, kept.lines) == (
        plain.subjects,
        plain.mailboxes,
        plain.lines,
    )
    assert (kept.time_ms == plain.time_ms).all()
    assert (kept.must_not == plain.must_not).all()
    assert [path.name for path in place.parent.iterdir()] == ["3000-5"]


def test_a_generator_that_only_moved_makes_the_same_traffic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "pipelines" / "simulate" / "__init__.py"
    module.parent.mkdir(parents=True)
    monkeypatch.setattr(traffics, "ROOT", tmp_path)
    versions = []
    for source in ("import a\nx = 1", '"""Now."""\nfrom b import (\n    a,\n)\nx = (1)', "x = 2"):
        module.write_text(source)
        versions.append(traffics.version("first"))
    assert versions[0] == versions[1] != versions[2]
    with pytest.raises(FileNotFoundError, match="second generator is not there"):
        traffics.version("second")


def test_the_command_keeps_its_result_and_compares_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "_commit", lambda: ("abc1234", False))
    arguments = ["matrix", "--sizes", "3000", "--seeds", "5", "--folder", str(tmp_path)]
    assert quality.main(arguments) == 0
    shown = capsys.readouterr()
    assert "[1/1 " in shown.err
    assert "floods found" in shown.out
    kept = json.loads((tmp_path / "results" / "abc1234.json").read_bytes())
    assert [cell["seed"] for cell in kept] == [5]
    assert quality.main([*arguments, "--compare", "abc1234"]) == 0
    row = next(x for x in capsys.readouterr().out.split("\n") if x.startswith("floods found"))
    before, arrow, now = row.split()[2:5]
    assert (before, arrow) == (now, "->")


def test_constants_are_read_in_order_and_a_missing_module_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "MOST: int = 4\nOTHER = 1\nON: bool = True\nSHARE: float = 0.3\n"
    (tmp_path / "constants_of.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = constants(["constants_of"])
    assert [(one.name, one.value) for one in found] == [("MOST", 4), ("SHARE", 0.3)]
    assert quality.main(["sensitivity", "--modules", "detector.no.such"]) == 1
    assert "detector.no.such: there is no such module" in capsys.readouterr().err


def test_a_changed_constant_reaches_what_is_computed_from_it(tmp_path: Path) -> None:
    (tmp_path / "numbers_of.py").write_text("MOST: int = 4\nTWICE = MOST * 2\n")
    reader = "from numbers_of import MOST, TWICE\nprint(MOST, TWICE)\n"
    (tmp_path / "reader_of.py").write_text(reader)
    program = (
        "from benchmarks.matrix.changed import change, parsed\n"
        "change(parsed(['numbers_of:MOST=6']))\nimport reader_of\n"
    )
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "6 12\n"
    done = subprocess.run(
        [sys.executable, "-c", program.replace("MOST", "LEAST")],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "assigns no LEAST" in done.stderr


def test_a_change_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="MODULE:NAME=NUMBER"):
        parsed(["MOST=3"])
