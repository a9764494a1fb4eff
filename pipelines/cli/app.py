"""The commands and their options; what they do is imported when they are called."""

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.control_app import control
from pipelines.cli.guarded import DEFAULT_STORE, Terminated, UsageError, guarded
from pipelines.cli.options import Address, AsJson, Config
from pipelines.cli.topics_app import topics

__all__ = ["app", "run"]

app = typer.Typer(
    name="floodwatch",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Find the sources of mail floods in mail server logs, list them and explain why.",
)

Store = Annotated[
    str,
    typer.Option(
        "--store", metavar="URL", help="Block store: sqlite:///PATH or redis://HOST:PORT/DB."
    ),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", metavar="FILE", help="Policy in TOML (default: built in)."),
]
AsnTables = Annotated[
    list[Path] | None,
    typer.Option(
        "--asn-table", metavar="FILE", help="IP-to-ASN table: TSV, CSV or MMDB. Repeatable."
    ),
]
Providers = Annotated[
    Path | None,
    typer.Option("--providers", metavar="FILE", help="Providers in TOML (default: those shipped)."),
]


def run() -> None:
    """Run the command line."""
    app(prog_name="floodwatch")


def _print_version(wanted: bool) -> None:
    if wanted:
        from pipelines.cli.version import version_line

        typer.echo(version_line())
        raise typer.Exit


@app.callback()
def main(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Find the sources of mail floods in mail server logs, list them and explain why."""


@app.command()
def replay(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Files, directories, globs, or - for standard input; may be .gz or .zst.",
        ),
    ],
    *,
    input_format: Annotated[
        str, typer.Option("--format", help="auto, ndjson, postfix, parquet or log (a dump).")
    ] = "auto",
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings file, for its [site] section.")
    ] = None,
    policy: PolicyFile = None,
    asn_table: AsnTables = None,
    providers: Providers = None,
    store: Store = DEFAULT_STORE,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Move an existing store aside and start with a new one.")
    ] = False,
    decisions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write every change as JSON lines; - is stdout."),
    ] = None,
    floods: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the totals of every flood as JSON lines."),
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write rejected records, with the reason.")
    ] = None,
    log: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the log.")] = None,
    trusted_relay: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NETWORK", help="Postfix: a relay whose orig_client is trusted. Repeatable."
        ),
    ] = None,
    log_ends: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="Postfix: latest date in a log without years (else the file's).",
        ),
    ] = None,
    utc_offset: Annotated[
        str, typer.Option(metavar="+HH:MM", help="Postfix: UTC offset of times without one.")
    ] = "+00:00",
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="JSON, Parquet: preset of field names, such as ecs.")
    ] = "",
    field: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=NAME",
            help="JSON, Parquet: name of a field (client_ip=ip). Repeatable.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Replay mail logs: find floods, list their sources."""
    with guarded():
        from pipelines.cli.replaying import ReplayOptions, run_replay

        options = ReplayOptions(
            tuple(inputs), input_format, config, policy, tuple(asn_table or ()), providers, store,
            fresh, decisions, floods, rejects, log, tuple(trusted_relay or ()), log_ends,
            utc_offset, preset, tuple(field or ()), as_json,
        )  # fmt: skip
        code = run_replay(options)
    raise typer.Exit(code)


@app.command(name="run")
def run_command(
    config: Config = None,
    *,
    role: Annotated[
        list[str] | None,
        typer.Option(help="ingest, detect, publish or alert; repeatable (default: all)."),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="Follow a growing log, without Kafka. Repeatable.",
        ),
    ] = None,
    input_format: Annotated[
        str, typer.Option("--format", help="With --input: auto, postfix or ndjson.")
    ] = "auto",
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="With --input: the block store, sqlite:///PATH."),
    ] = None,
    rejects: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --input: append rejected records to it."),
    ] = None,
    trusted_relay: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help="With --input: a relay whose orig_client is trusted."),
    ] = None,
    utc_offset: Annotated[
        str | None,
        typer.Option(
            metavar="+HH:MM",
            help="With --input: UTC offset of times without one (default: this machine's).",
        ),
    ] = None,
) -> None:
    """Run on Kafka, or follow a log (--input): decide as mail arrives, keep the store current."""
    with guarded(), contextlib.suppress(Terminated):  # told to stop before anything has begun
        if inputs:
            from pipelines.cli.following import FollowOptions, run_follow

            options = FollowOptions(
                tuple(inputs), config, tuple(role or ()), input_format, store, rejects,
                tuple(trusted_relay or ()), utc_offset,
            )  # fmt: skip
            run_follow(options)
            return
        from pipelines.cli.running import needs_input, run_live

        needs_input(input_format != "auto", store, rejects, trusted_relay, utc_offset)
        run_live(config, role or ())


app.add_typer(topics, name="topics")
app.add_typer(control, name="control")


@app.command()
def settings(config: Config = None) -> None:
    """Print the settings of a live run as a commented file to start from."""
    with guarded():
        from pipelines.cli.running import show_settings

        show_settings(config)


@app.command()
def lookup(address: Address, store: Store = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """Say whether an address is listed, why, and until when."""
    with guarded():
        from pipelines.cli.listings import show_lookup

        show_lookup(address, store, as_json=as_json)


@app.command(name="list")
def list_command(
    *,
    store: Store = DEFAULT_STORE,
    rule: Annotated[str | None, typer.Option(help="Only listings of this rule.")] = None,
    provider: Annotated[str | None, typer.Option(help="Only addresses of this provider.")] = None,
    tier: Annotated[str | None, typer.Option(help="temporary or standing.")] = None,
    asn: Annotated[
        str | None, typer.Option(metavar="ASN", help="Only addresses of this AS: AS64501 or 64501.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="NUMBER", help="Maximum to show.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Show the current listings."""
    with guarded():
        from pipelines.cli.listings import Filters, show_list
        from pipelines.cli.shown import asn_of

        number = None if asn is None else asn_of(asn, "--asn")
        show_list(store, Filters(rule, provider, tier, number, limit), as_json=as_json)


@app.command()
def remove(
    address: Address,
    store: Store = DEFAULT_STORE,
    reason: Annotated[str, typer.Option(help="Text stored with the request.")] = "",
    wait: Annotated[float, typer.Option(help="Seconds to wait for a running detector.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Request the removal of an address."""
    with guarded():
        from pipelines.cli.removal import file_removal

        file_removal(address, store, reason, wait_s=wait, as_json=as_json)


@app.command()
def explain(address: Address, store: Store = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """Show why an address was listed, from the stored evidence."""
    with guarded():
        from pipelines.cli.explaining import show_explanation

        show_explanation(address, store, as_json=as_json)


@app.command()
def export(
    kind: Annotated[
        str, typer.Argument(metavar="FORMAT", help="rbldnsd, rpz, postfix, plain or json.")
    ],
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory for the files.")],
    store: Store = DEFAULT_STORE,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep the files current until stopped.")
    ] = False,
    lookup_url: Annotated[
        str,
        typer.Option(
            metavar="URL", help="URL where a sender can look up {ip}; included in every rejection."
        ),
    ] = "",
    on_change: Annotated[
        str,
        typer.Option(
            metavar="COMMAND",
            help="With --watch: run after changes, at most once a minute.",
        ),
    ] = "",
    listen: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="With --watch: serve health and metrics.",
        ),
    ] = "",
    force: Annotated[
        str,
        typer.Option(metavar="REASON", help="Drop listings that the store lost; give the reason."),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Write the list as files for rbldnsd, BIND, Postfix or other programs."""
    with guarded():
        from pipelines.cli.exporting import ExportOptions, run_export

        run_export(
            ExportOptions(kind, store, out, watch, lookup_url, on_change, force, listen, as_json)
        )


@app.command()
def policy(
    file: PolicyFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
    toml: Annotated[
        bool, typer.Option("--toml", help="Print the complete policy as a TOML file.")
    ] = False,
) -> None:
    """Print the listing and removal criteria in words."""
    with guarded():
        from pipelines.cli.policies import show_policy

        show_policy(file, as_json=as_json, toml=toml)


@app.command()
def check(
    policy: PolicyFile = None,
    asn_table: AsnTables = None,
    providers: Providers = None,
    store: Store = DEFAULT_STORE,
    config: Config = None,
    *,
    as_json: AsJson = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="With --config: write one heartbeat to the input.")
    ] = False,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input", metavar="FILE", help="Check a run that follows this log. Repeatable."
        ),
    ] = None,
) -> None:
    """Check policy, tables and store, or all that --config or --input need; change nothing."""
    with guarded():
        if config is not None or inputs:
            from pipelines.cli.checking_follow import check_run

            if policy or asn_table or providers or (store != DEFAULT_STORE and not inputs):
                raise UsageError("--config already names policy, tables and store: omit these")
            url = None if store == DEFAULT_STORE else store
            code = check_run(config, tuple(inputs or ()), url, probe=probe, as_json=as_json)
        elif probe:
            raise UsageError("--probe: want --config, which names the input")
        else:
            from pipelines.cli.policies import check_settings

            code = check_settings(policy, tuple(asn_table or ()), providers, store, as_json=as_json)
    raise typer.Exit(code)


_PASSED_ON: dict[str, Any] = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}


@app.command(context_settings=_PASSED_ON)
def simulate(context: typer.Context) -> None:
    """Generate mail traffic with known floods from a seed."""
    with guarded():
        from pipelines.simulate.__main__ import main as simulation

        code = simulation(context.args, "floodwatch simulate")
    raise typer.Exit(code)


@app.command()
def schema(
    what: Annotated[
        str, typer.Argument(metavar="[event|decision|flood]", help="Which contract.")
    ] = "event",
) -> None:
    """Print the JSON schema of an event, a decision or a flood record."""
    with guarded():
        from pipelines.cli.schemas import show_schema

        show_schema(what)
