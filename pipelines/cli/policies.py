"""`floodwatch policy` and `floodwatch check`."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from detector.criteria import criteria_text, numbers
from detector.errors import FloodwatchError
from detector.policy import Policy, policy_digest
from pipelines.cli.guarded import USAGE, UsageError
from pipelines.cli.listings import print_json
from pipelines.cli.shown import columns, rfc3339
from pipelines.config_file import load_policy

__all__ = ["check_settings", "policy_toml", "show_policy"]

_SQLITE = "sqlite:///"


def show_policy(file: Path | None, *, as_json: bool, toml: bool) -> None:
    """Print the criteria in words, or the numbers as JSON, or the whole as a commented file."""
    if as_json and toml:
        raise UsageError("--json and --toml: want one of them")
    policy = load_policy(None if file is None else str(file))
    if as_json:
        settings = [{"key": k, "value": v, "meaning": m} for k, v, m in numbers(policy)]
        print_json({"policy": policy_digest(policy), "settings": settings})
    elif toml:
        sys.stdout.write("\n".join(policy_toml(policy)) + "\n")
    else:
        sys.stdout.write(criteria_text(policy))


def policy_toml(policy: Policy) -> Iterator[str]:
    """Give a policy as a file, each setting behind its meaning."""
    yield "# The policy of floodwatch, whole. What is left out of a file keeps its default."
    section = ""
    for key, value, meaning in numbers(policy):
        now, _, name = key.rpartition(".")
        if now != section:
            section = now
            yield ""
            yield f"[{section}]"
        yield f"# {meaning}"
        yield f"{name} = {value}"


def check_settings(
    policy_file: Path | None, asn_tables: tuple[Path, ...], providers: Path | None, url: str
) -> int:
    """Check everything a replay needs, change nothing; say all problems; give the exit code."""
    rows: list[tuple[str, str]] = []
    wrong = 0
    parts: tuple[tuple[str, Callable[[], list[str]]], ...] = (
        ("policy", lambda: _policy(policy_file)),
        ("ASN table", lambda: _asn_tables(asn_tables)),
        ("providers", lambda: _providers(providers)),
        ("store", lambda: _store(url)),
    )
    for name, say in parts:
        try:
            said = say()
        except FloodwatchError as error:
            wrong += 1
            said = [f"WRONG  {line}" for line in str(error).split("\n")]
        rows += [(name if not index else "", line) for index, line in enumerate(said)]
    sys.stdout.write("\n".join(columns(rows)) + "\n")
    return USAGE if wrong else 0


def _policy(file: Path | None) -> list[str]:
    policy = load_policy(None if file is None else str(file))
    rules = policy.rules
    on = [
        f"{name} ({rule.mode})"
        for name, rule in (
            ("victim_flood", rules.victim_flood), ("source_flood", rules.source_flood),
            ("asn_flood", rules.asn_flood), ("backscatter", rules.backscatter),
        )
        if rule.enabled
    ]  # fmt: skip
    named = "the default" if file is None else ascii(str(file))[1:-1]
    publishes = (
        "listings would be published" if policy.mode == "on" else "nothing published (shadow)"
    )
    return [
        f"ok  {named}, {policy_digest(policy)}",
        f"rules {', '.join(on) or 'none'}: {publishes}",
    ]


def _asn_tables(files: tuple[Path, ...]) -> list[str]:
    if not files:
        return ["none: networks would be told apart by their prefix (give --asn-table)"]
    from pipelines.asn_file import load_asn_files

    found = load_asn_files(files)
    said = [f"ok  {len(files):,} in use, {found.digest[:12]}"]
    return said + [f"left out: {problem}" for problem in found.problems]


def _providers(file: Path | None) -> list[str]:
    from pipelines.provider_file import load_providers

    registry = load_providers(file)
    named = "those shipped" if file is None else ascii(str(file))[1:-1]
    return [f"ok  {named}, {len(registry.names):,} providers, {registry.digest[:12]}"]


def _store(url: str) -> list[str]:
    from pipelines.cli.stored import opened
    from pipelines.stores import open_store
    from pipelines.stores.redis_url import masked_url

    shown, path = masked_url(url), Path(url.removeprefix(_SQLITE))
    if url.startswith(_SQLITE) and not path.exists():
        if not path.absolute().parent.is_dir():
            open_store(url)  # raises the error that says so
        return [f"ok  {shown}: a replay would make it"]
    with opened(url) as stored:
        changes = stored.store.last_seq()
        if not changes:
            return [f"ok  {shown}: empty"]
        at = stored.watermark_ms
        pending = len(stored.store.requests(pending_only=True))
        listed = len(stored.store.listings(at))
        return [
            f"ok  {shown}: {listed:,} listed as of {rfc3339(at)}, {changes:,} changes",
            f"decided by policy {policy_digest(stored.policy())}; {pending:,} requests pending",
        ]
