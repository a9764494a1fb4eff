"""`python -m pipelines.simulate DIR --seed N`: write events, truth and ASN table of one seed."""

import argparse
import sys
from pathlib import Path

from pipelines.simulate import (
    FLOOD_SHAPES,
    INNOCENT_PATTERNS,
    SimulationSpec,
    simulate,
    write_asn_table,
    write_events,
    write_truth,
)
from pipelines.simulate.postfix import PostfixError, send_through_postfix
from pipelines.simulate.writer import write_lines

__all__ = ["main"]


def main(arguments: list[str] | None = None, program: str = "python -m pipelines.simulate") -> int:
    """Run the command as `program` and give its exit code (0 done, 1 failed, 2 usage)."""
    parser = argparse.ArgumentParser(
        prog=program,
        description="Write mail traffic with known floods by a seed: events, truth, ASN table.",
        allow_abbrev=False,
    )
    parser.add_argument("directory", type=Path, help="folder to write into (made if missing)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--flood-share", type=float, help="the most that floods are of all events")
    parser.add_argument("--shapes", help="comma list, or 'none': " + ",".join(FLOOD_SHAPES))
    parser.add_argument("--patterns", help="comma list, or 'none': " + ",".join(INNOCENT_PATTERNS))
    parser.add_argument("--time-format", choices=("ms", "rfc3339"), help="default: drawn")
    parser.add_argument("--ordered", action="store_true", help="no late lines")
    parser.add_argument(
        "--postfix",
        choices=("syslog", "rfc3339"),
        help="send it through a real Postfix (needs root) and write mail.log with such times too",
    )
    parser.add_argument("--gzip", action="store_true", help="compress what is written")
    given = parser.parse_args(arguments)
    try:
        spec = SimulationSpec(
            seed=given.seed,
            events=given.events,
            hours=given.hours,
            flood_share=given.flood_share,
            shapes=_chosen(given.shapes, FLOOD_SHAPES),
            patterns=_chosen(given.patterns, INNOCENT_PATTERNS),
            time_format=given.time_format,
            disorder=not (given.ordered or given.postfix),
        )
    except ValueError as error:
        parser.error(str(error))
    result = simulate(spec)
    given.directory.mkdir(parents=True, exist_ok=True)
    ending = ".gz" if given.gzip else ""
    queue_ids: list[str | None] | None = None
    if given.postfix:
        try:
            real = send_through_postfix(result, given.postfix)
        except PostfixError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        result, queue_ids = real.traffic, real.queue_ids
        write_lines(iter(real.lines), given.directory / f"mail.log{ending}")
    write_events(result, given.directory / f"events.ndjson{ending}", queue_ids)
    write_truth(result, given.directory / f"truth.ndjson{ending}")
    write_asn_table(result.world.network, given.directory / f"asn.tsv{ending}")
    for group in result.groups:
        sys.stderr.write(f"{group.id:3d} {group.kind:8s} {group.events:7d} {group.name}\n")
    return 0


def _chosen(given: str | None, everything: tuple[str, ...]) -> tuple[str, ...]:
    if given is None:
        return everything
    return () if given == "none" else tuple(given.split(","))


if __name__ == "__main__":
    sys.exit(main())
