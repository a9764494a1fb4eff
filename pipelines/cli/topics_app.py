"""The commands of `floodwatch topics` and their options."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.guarded import guarded
from pipelines.cli.options import AsJson, Config

__all__ = ["topics"]

topics = typer.Typer(no_args_is_help=True, help="Check or create the Kafka topics.")


@topics.command(name="check")
def topics_check(config: Config = None, *, as_json: AsJson = False) -> None:
    """Compare the topics with their required settings, and explain every difference."""
    with guarded():
        from pipelines.cli.running import show_topics

        code = show_topics(config, as_json=as_json)
    raise typer.Exit(code)


@topics.command(name="create")
def topics_create(
    config: Config = None,
    *,
    partitions: Annotated[
        int, typer.Option(min=1, help="Partitions of the input topic, if it is created.")
    ] = 8,
    as_json: AsJson = False,
) -> None:
    """Create missing topics; existing ones are not changed."""
    with guarded():
        from pipelines.cli.running import make_topics

        make_topics(config, partitions, as_json=as_json)


@topics.command(name="dump")
def topics_dump(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="log, listings, input or dead-letters.")
    ],
    target: Annotated[
        Path,
        typer.Argument(metavar="TARGET", help="File to write; for the input, a new directory."),
    ],
    *,
    config: Config = None,
) -> None:
    """Write a topic to files: the log for replay; decisions, events or dead letters as NDJSON."""
    with guarded():
        from pipelines.cli.dumping import run_dump

        code = run_dump(config, what, target)
    raise typer.Exit(code)
