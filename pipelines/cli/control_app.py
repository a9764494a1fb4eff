"""The commands of `floodwatch control` and their options."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.guarded import guarded
from pipelines.cli.options import Address, AsJson, Config

__all__ = ["control"]

control = typer.Typer(
    no_args_is_help=True, help="Send a control to the detectors of a live installation."
)

Wait = Annotated[
    float, typer.Option("--wait", min=0, metavar="SECONDS", help="Wait for a detector to act.")
]
_WAIT_S = 10.0


@control.command(name="policy")
def control_policy(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The complete new policy, in TOML.")],
    *,
    config: Config = None,
    wait: Wait = _WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Activate a new policy at the end of a minute."""
    with guarded():
        from pipelines.cli.controlling import Sending

        code = Sending(config, wait, as_json).policy(file)
    raise typer.Exit(code)


@control.command(name="allowlist")
def control_allowlist(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Networks, one a line, # comments; - is stdin.")
    ],
    *,
    config: Config = None,
    wait: Wait = _WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Replace the operators' allowlist; listings that it covers are removed."""
    with guarded():
        from pipelines.cli.controlling import Sending

        code = Sending(config, wait, as_json).allowlist(file)
    raise typer.Exit(code)


@control.command(name="asn-table")
def control_asn_table(
    *, config: Config = None, wait: Wait = _WAIT_S, as_json: AsJson = False
) -> None:
    """Activate the ASN table that the files of detect.asn_tables now contain."""
    with guarded():
        from pipelines.cli.controlling import Sending

        code = Sending(config, wait, as_json).asn_table()
    raise typer.Exit(code)


@control.command(name="remove")
def control_remove(
    address: Address, *, config: Config = None, wait: Wait = _WAIT_S, as_json: AsJson = False
) -> None:
    """Remove an address from the list, regardless of its quiet time."""
    with guarded():
        from pipelines.cli.controlling import Sending

        code = Sending(config, wait, as_json).action("remove", address)
    raise typer.Exit(code)


@control.command(name="release")
def control_release(
    address: Address, *, config: Config = None, wait: Wait = _WAIT_S, as_json: AsJson = False
) -> None:
    """List a held address, although that may block normal mail."""
    with guarded():
        from pipelines.cli.controlling import Sending

        code = Sending(config, wait, as_json).action("release", address)
    raise typer.Exit(code)


@control.command(name="purge")
def control_purge(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="rule=NAME or policy=DIGEST.")],
    *,
    config: Config = None,
    wait: Wait = _WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Remove all listings of a rule or a policy."""
    with guarded():
        from pipelines.cli.controlling import Sending

        code = Sending(config, wait, as_json).purge(what)
    raise typer.Exit(code)


@control.command(name="gap")
def control_gap(
    partition: Annotated[int, typer.Argument(min=0, help="Partition of the input.")],
    first: Annotated[int, typer.Argument(min=1, help="Number of the first lost tally.")],
    last: Annotated[int, typer.Argument(min=1, help="Number of the last lost tally.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Declare the loss.")] = False,
    config: Config = None,
    wait: Wait = _WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Declare tallies of a partition lost, so that the other partitions continue."""
    with guarded():
        from pipelines.cli.controlling import Sending

        code = Sending(config, wait, as_json).gap(partition, first, last, sure=yes)
    raise typer.Exit(code)
