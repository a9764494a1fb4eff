"""Options and arguments that several groups of commands share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Address", "AsJson", "Config"]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Address = Annotated[str, typer.Argument(metavar="IP", help="An address, or a subject as listed.")]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Settings file in TOML; FLOODWATCH__... variables override it.",
    ),
]
