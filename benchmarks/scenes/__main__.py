"""`python -m benchmarks.scenes SCENE DIR --seed N`: write events, truth and ASN table."""

import argparse
from pathlib import Path

from benchmarks.scenes.days import draw_days
from benchmarks.scenes.weapon import AIMS, POOLS, draw_weapon
from pipelines.simulate import write_asn_table, write_events, write_truth

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Write `events.ndjson`, `truth.ndjson` and `asn.tsv`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scenes", description=__doc__)
    parser.add_argument("scene", choices=("days", "weapon"))
    parser.add_argument("directory", type=Path, help="folder to write into (made if missing)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--events", type=int, default=301_000, help="days: in all; weapon: a day")
    parser.add_argument("--hours", type=float, default=72.0, help="days: length of the log")
    parser.add_argument("--hour", type=float, default=6.0, help="weapon: age of the log")
    parser.add_argument("--aim", choices=AIMS, default="mailbox", help="weapon: whose mailboxes")
    parser.add_argument("--pool", choices=POOLS, default="large", help="weapon: whose addresses")
    given = parser.parse_args(arguments)
    if given.scene == "days":
        traffic = draw_days(given.seed, given.events, given.hours)
    else:
        traffic = draw_weapon(given.seed, given.events, given.hour, given.aim, given.pool)
    given.directory.mkdir(parents=True, exist_ok=True)
    write_events(traffic, given.directory / "events.ndjson")
    write_truth(traffic, given.directory / "truth.ndjson")
    write_asn_table(traffic.world.network, given.directory / "asn.tsv")


if __name__ == "__main__":
    main()
