"""`floodwatch check` of a run that follows logs: Kafka is not asked, since it needs none."""

import os
from collections.abc import Sequence
from pathlib import Path

from detector.errors import FloodwatchError, StoreUrlError
from pipelines.cli.checking import (
    CheckedParts,
    check_installation,
    check_snapshot_folder,
    detect_parts,
    settings_part,
    webhook_lines,
)
from pipelines.cli.guarded import UsageError
from pipelines.cli.policies import store_lines
from pipelines.cli.running import load
from pipelines.console.escaped import escaped
from pipelines.follow.begin import check_input
from pipelines.follow.format import format_of
from pipelines.follow.state import read_state
from pipelines.settings.model import LiveSettings
from pipelines.snapshot_file import load_snapshot
from pipelines.sources.rotated import open_log
from pipelines.stores.redis_url import shown_url

__all__ = ["check_run"]

_SQLITE = "sqlite:///"
_LOOKED_AT_BYTES = 1 << 16


def check_run(
    config: Path | None, inputs: tuple[str, ...], store_url: str | None,
    *, probe: bool, as_json: bool,
) -> int:  # fmt: skip
    """Check a run on Kafka, or one that follows logs: with inputs, or settings without `kafka`.

    Raises:
        SettingsError: the settings themselves cannot be read, so that nothing else can be tried.
    """
    settings = load(config, store_url)
    if config is not None and not inputs and "kafka" in settings.model_fields_set:
        return check_installation(settings, config, probe=probe, as_json=as_json)
    if probe:
        raise UsageError("--probe: only for a run on Kafka: give --config with a [kafka] section")
    return _check_follower(settings, config, inputs, as_json=as_json)


def _check_follower(
    settings: LiveSettings, config: Path | None, inputs: Sequence[str], *, as_json: bool
) -> int:
    """Report all problems at once, then what `run --input` would do; give the exit code.

    Without inputs only what the settings name is checked.
    """
    check = CheckedParts()
    settings_part(check, "a run that follows logs, without Kafka", config, settings)
    detect_parts(check, settings)
    for path in inputs:
        check.part("input", lambda path=path: _input(path))  # type: ignore[misc] # bound now
    check.part("snapshot", lambda: _snapshot(settings, inputs))
    check.part("store", lambda: _store(settings.store.url))
    check.part("webhook", lambda: webhook_lines(settings.webhook))
    named = ", ".join(map(escaped, inputs)) or "the logs that --input names"
    run = [f"follows {named}, and keeps the store current"]
    return check.finish(run, as_json=as_json)


def _input(path: str) -> list[str]:
    absolute, shown = str(Path(path).absolute()), escaped(path)
    check_input(absolute)
    if not os.path.lexists(absolute):
        return [f"ok  {shown}: does not exist yet; the run waits for it"]
    file = open_log(absolute)
    try:
        kind = format_of(absolute, file.read_at(0, _LOOKED_AT_BYTES))
    finally:
        file.close()
    return [f"ok  {shown}: {kind or 'empty, its format is not known yet'}"]


def _snapshot(settings: LiveSettings, inputs: Sequence[str]) -> list[str]:
    path = settings.detect.snapshot
    shown = escaped(str(path))
    check_snapshot_folder(path)
    found = load_snapshot(path, read_state)
    if found is None:
        return [f"ok  none at {shown}: starts at the beginning of each log"]
    (head, _), passed_over = found
    names = [os.fsencode(name.encode("latin-1")).decode(errors="replace") for name in head.inputs]
    if inputs and names != [str(Path(one).absolute()) for one in inputs]:
        were = ", ".join(map(escaped, names))
        raise FloodwatchError(
            f"{shown} was made from other inputs ({were}): name those, in this order, or another "
            "store and snapshot (detect.snapshot)"
        )
    lines = [f"left out: {error}" for error in passed_over]
    return [*lines, f"ok  {shown}: resumes {', '.join(map(escaped, names))}"]


def _store(url: str) -> list[str]:
    if not url.startswith(_SQLITE):
        want = "follow mode keeps its store in a file: name sqlite:///PATH"
        raise StoreUrlError(shown_url(url), want)
    return store_lines(url, "run")
