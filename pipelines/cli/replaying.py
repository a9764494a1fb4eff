"""`floodwatch replay`: options become a replay, its progress a bar, its summary a page."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

from detector.errors import StoreLockedError, StoreUrlError
from pipelines.cli.guarded import FAILED, UsageError, say
from pipelines.cli.listings import print_json
from pipelines.cli.postfix_options import check_relays, offset_s
from pipelines.cli.record_options import record_source
from pipelines.cli.running import load
from pipelines.cli.summary_page import summary_page
from pipelines.follow.lock import Lock, TakenError
from pipelines.replay.formats import FORMATS
from pipelines.replay.run import Progress, Replay, replay
from pipelines.settings.config_file import load_policy
from pipelines.settings.model import SiteSettings
from pipelines.shapes.raw_postfix import PostfixTerms, site_of
from pipelines.stages.publish import STDOUT
from pipelines.stores import open_store
from pipelines.stores.redis_url import shown_url
from pipelines.stores.sqlite import SqliteStore

__all__ = ["ReplayOptions", "run_replay"]

_SQLITE: Final = "sqlite:///"
_AUTO: Final = "auto"
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """The command line of a replay, as given."""

    inputs: tuple[str, ...]
    input_format: str
    config: Path | None
    policy: Path | None
    asn_tables: tuple[Path, ...]
    providers: Path | None
    store: str
    fresh: bool
    decisions: Path | None
    floods: Path | None
    rejects: Path | None
    log: Path | None
    trusted_relays: tuple[str, ...]
    log_ends: str | None
    utc_offset: str
    preset: str
    fields: tuple[str, ...]
    as_json: bool


def run_replay(options: ReplayOptions) -> int:
    """Replay and print the summary; give the exit code."""
    spec = _spec(options)
    if options.fresh:
        _move_aside(options.store)
    store = open_store(options.store)
    try:
        with _bar() as show:
            summary = replay(spec, store, show)
        outputs = _outputs(options)
        stream = sys.stderr if STDOUT in outputs else sys.stdout
        if options.as_json:
            print_json(summary.as_json(), stream=stream)
        else:
            written = [str(path) for path in outputs if path != STDOUT]
            _print_page(summary_page(summary, written), stream)
    finally:
        store.close()
    for failure in summary.failures:
        say(f"floodwatch: {failure}")
    if summary.misread is not None:
        say(f"floodwatch: the input could not be interpreted: {summary.misread}")
    return FAILED if summary.failures or summary.misread else 0


def _spec(options: ReplayOptions) -> Replay:
    kind = options.input_format
    if kind not in {_AUTO, *FORMATS}:
        raise UsageError(f"--format: got {kind!a}, must be {_AUTO}, {', '.join(FORMATS)}")
    outputs = [path.absolute() for path in _outputs(options)]
    if len(set(outputs)) < len(outputs):
        raise UsageError("--decisions, --floods, --rejects and --log: must be different files")
    inputs = {Path(name).absolute() for name in options.inputs}
    taken = (inputs & set(outputs)) - {STDOUT.absolute()}
    if taken:
        raise UsageError(f"{min(map(ascii, map(str, taken)))}: is an input, and cannot be written")
    site = load(options.config).site if options.config is not None else SiteSettings()
    return Replay(
        inputs=options.inputs,
        store_url=options.store,
        policy=load_policy(None if options.policy is None else str(options.policy)),
        input_format=None if kind == _AUTO else kind,
        postfix=_postfix_terms(options, site),
        delimiters=site.recipient_delimiter,
        source=record_source(options.preset, options.fields),
        asn_tables=options.asn_tables,
        providers=options.providers,
        decisions=options.decisions,
        floods=options.floods,
        rejects=options.rejects,
        log=options.log,
    )


def _outputs(options: ReplayOptions) -> list[Path]:
    """Give the files that the replay writes, but for the store."""
    paths = (options.decisions, options.floods, options.rejects, options.log)
    return [path for path in paths if path is not None]


def _postfix_terms(options: ReplayOptions, site: SiteSettings) -> PostfixTerms:
    zone_s = offset_s(options.utc_offset)
    reference: int | None = None
    if options.log_ends is not None:
        try:
            day = datetime.strptime(options.log_ends, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            raise UsageError(f"--log-ends: got {options.log_ends!a}, want YYYY-MM-DD") from None
        reference = (int(day.timestamp()) + _DAY_S - 1 - zone_s) * 1000
    check_relays(options.trusted_relays)
    return PostfixTerms(reference, zone_s, options.trusted_relays, site_of(site))


def _move_aside(url: str) -> None:
    """Give a store of ours another name, so that a new one takes its place."""
    if not url.startswith(_SQLITE):
        if url != "memory:":
            raise StoreUrlError(shown_url(url), "--fresh knows only sqlite:///PATH")
        return
    path = Path(url.removeprefix(_SQLITE))
    if not path.exists():
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(contextlib.closing(Lock(path)))
        except TakenError as error:
            holder = f" (process {error.holder})" if error.holder else ""
            problem = (
                f"a running process writes to it{holder}: stop that run, or name another store"
            )
            raise StoreLockedError(url, problem) from None
        with contextlib.closing(SqliteStore(path)) as store:  # refuses what is not ours
            store.make_movable()
        number = 1
        while (aside := path.with_name(f"{path.name}.{number}")).exists():
            number += 1
        path.rename(aside)
    say(f"floodwatch: the previous store was moved to {ascii(str(aside))[1:-1]}")


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    """Show a bar with rate and time left, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("replay"), BarColumn(), TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.fields[lines]:,} lines"), TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[listed]:,} listed"), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, lines=0, rate="", listed=0)

        def show(now: Progress) -> None:
            elapsed = bar.tasks[0].elapsed or 0.0
            rate = f"{now.lines / elapsed / 1000:,.0f} k/s" if elapsed else ""
            bar.update(
                task, total=now.total_bytes, completed=now.bytes_read,
                lines=now.lines, rate=rate, listed=now.listed,
            )  # fmt: skip

        yield show


def _print_page(lines: list[str], stream: TextIO) -> None:
    """Print the summary, its headings bold where the terminal shows it."""
    if not stream.isatty():
        stream.write("\n".join(lines) + "\n")
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, soft_wrap=True, highlight=False)
    for line in lines:
        heading = line and not line.startswith(" ")
        first, gap, rest = line.partition("  ")
        console.print(Text.assemble((first, "bold"), gap + rest) if heading else Text(line))
