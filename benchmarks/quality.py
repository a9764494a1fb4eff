"""Score listing decisions against the truth of simulated traffic, beside naive references.

    python -m benchmarks.quality score --events E --truth T --decisions D [--json]
    python -m benchmarks.quality run --seeds 11 12 13 14 15 [--events 300000] [--json]
    python -m benchmarks.quality matrix [--sizes 30000 301000] [--compare COMMIT]
    python -m benchmarks.quality sensitivity
    python -m benchmarks.quality lifecycle [--seeds 1 2 3] [--events 301000] [--hours 72] [--json]
    python -m benchmarks.quality weapon [--sizes 30000 301000] [--seeds 1 2 3] [--json]

It shares no code with the detector. What the columns mean: `quality_score`; who is listed when by
the oracle and the references: `quality_listings`. Exit 0: scored (whatever the figures), 1: failed.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.matrix import lifecycle, sensitivity, weapon
from benchmarks.matrix import run as matrix
from benchmarks.quality_listings import read_decisions
from benchmarks.quality_report import Report, as_json, report, summary_text, text
from benchmarks.quality_traffic import BadInputError, read_traffic

__all__ = ["main", "score_files"]

ROOT = Path(__file__).resolve().parent.parent
STDERR = 2
EVENTS, TRUTH, TABLE = "events.ndjson", "truth.ndjson", "asn.tsv"


def score_files(events: Path, truth: Path, decisions: Path) -> Report:
    """Score one decision file on one traffic.

    Raises: BadInputError for a file that cannot be scored; OSError.
    """
    traffic = read_traffic(events, truth)
    return report(traffic, read_decisions(decisions, traffic))


def _say(message: str) -> None:
    """Tell a person what goes on, on stderr."""
    print(message, file=sys.stderr, flush=True)


def _run(what: str, command: Sequence[str | Path]) -> None:
    """Run one step and say how long it took; its talk goes to stderr.

    Raises: subprocess.CalledProcessError if it fails.
    """
    begun = time.monotonic()
    subprocess.run(list(map(str, command)), check=True, cwd=ROOT, stdout=STDERR)
    _say(f"{what}: {time.monotonic() - begun:.1f} s")


def _run_seed(seed: int, events: int, out: Path) -> Report:
    """Simulate, replay and score one seed; everything made stays in `out`."""
    _run(f"seed {seed} simulate", _simulate(seed, events, out))
    decisions = out / "decisions.ndjson"
    _run(f"seed {seed} replay", _replay(out, decisions))
    begun = time.monotonic()
    result = score_files(out / EVENTS, out / TRUTH, decisions)
    _say(f"seed {seed} score: {time.monotonic() - begun:.1f} s")
    return result


def _simulate(seed: int, events: int, out: Path) -> list[str | Path]:
    return [
        sys.executable, "-m", "pipelines.simulate", out, "--seed", str(seed),
        "--events", str(events),
    ]  # fmt: skip


def _replay(out: Path, decisions: Path) -> list[str | Path]:
    return [
        sys.executable, "-m", "pipelines.cli", "replay", out / EVENTS,
        "--asn-table", out / TABLE, "--decisions", decisions, "--store", "memory:",
    ]  # fmt: skip


def _run_seeds(seeds: Sequence[int], events: int, keep: Path | None) -> dict[int, Report]:
    """Run each seed in a directory of its own, temporary unless `keep` names one."""
    reports: dict[int, Report] = {}
    with TemporaryDirectory(prefix="floodwatch-quality-") as scratch:
        for seed in seeds:
            out = (keep.resolve() if keep else Path(scratch)) / f"seed-{seed}"
            out.mkdir(parents=True, exist_ok=True)
            reports[seed] = _run_seed(seed, events, out)
    return reports


_OTHERS: Final = {
    "matrix": matrix.main,
    "sensitivity": sensitivity.main,
    "lifecycle": lifecycle.main,
    "weapon": weapon.main,
}
_PLAIN: Final = ("run", "--seeds", "11", "12", "13")
"""What `make bench` runs."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.quality", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("score", help="score one decision file")
    for name in ("events", "truth", "decisions"):
        one.add_argument(f"--{name}", type=Path, required=True, metavar="FILE")
    many = commands.add_parser("run", help="simulate, replay and score several seeds")
    many.add_argument("--seeds", type=int, nargs="+", required=True, metavar="N")
    many.add_argument("--events", type=int, default=300_000, metavar="N")
    many.add_argument("--keep", type=Path, metavar="DIR", help="keep traffic and decisions there")
    matrix.add_arguments(commands.add_parser("matrix", help="sizes and seeds, held to targets"))
    sensitivity.add_arguments(
        commands.add_parser("sensitivity", help="what each constant times 0.5 and 1.5 changes")
    )
    lifecycle.add_arguments(
        commands.add_parser("lifecycle", help="logs of days: which listings end early or late")
    )
    weapon.add_arguments(
        commands.add_parser("weapon", help="a provider's pool: what its listings cost, and stop")
    )
    for command in (one, many):
        command.add_argument("--floods", action="store_true", help="a line for each flood too")
        command.add_argument("--json", action="store_true", help="every figure, as JSON")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; give its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    chosen = _parser().parse_args(given or _PLAIN)
    try:
        if chosen.command in _OTHERS:
            return _OTHERS[chosen.command](chosen)
        if chosen.command == "score":
            scored = score_files(chosen.events, chosen.truth, chosen.decisions)
            shown = as_json(scored).decode() if chosen.json else text(scored, floods=chosen.floods)
        else:
            reports = _run_seeds(chosen.seeds, chosen.events, chosen.keep)
            tables = [
                f"seed {seed}\n\n{text(one, floods=chosen.floods)}" for seed, one in reports.items()
            ]
            many = "\n\n\n".join([*tables, summary_text(reports)])
            shown = as_json(reports).decode() if chosen.json else many
    except (BadInputError, OSError, EOFError, subprocess.CalledProcessError) as error:
        _say(f"quality: {error}")
        return 1
    print(shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
