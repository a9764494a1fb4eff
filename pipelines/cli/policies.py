"""`floodwatch policy` and `floodwatch check`."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from detector.errors import FloodwatchError
from detector.policy.criteria import criteria_text, numbers
from detector.policy.settings import Policy, policy_digest
from pipelines.cli.guarded import USAGE, UsageError
from pipelines.cli.listings import print_json
from pipelines.cli.shown import columns, rfc3339
from pipelines.settings.config_file import load_policy

__all__ = [
    "asn_lines",
    "check_settings",
    "policy_lines",
    "policy_toml",
    "print_rows",
    "provider_lines",
    "show_policy",
    "store_lines",
]

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
    yield "# The complete policy of floodwatch. Keys left out of a file keep their defaults."
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
    policy_file: Path | None, asn_tables: tuple[Path, ...], providers: Path | None, url: str,
    *, as_json: bool,
) -> int:  # fmt: skip
    """Check everything a replay needs without changes; report all problems; give the exit code."""
    rows: list[tuple[str, str]] = []
    wrong = 0
    parts: tuple[tuple[str, Callable[[], list[str]]], ...] = (
        ("policy", lambda: policy_lines(policy_file)),
        ("ASN table", lambda: asn_lines(asn_tables)),
        ("providers", lambda: provider_lines(providers)),
        ("store", lambda: store_lines(url, "a replay")),
    )
    for name, say in parts:
        try:
            said = say()
        except FloodwatchError as error:
            wrong += 1
            said = [f"WRONG  {line}" for line in str(error).split("\n")]
        rows += [(name if not index else "", line) for index, line in enumerate(said)]
    print_rows(rows, as_json=as_json, ok=not wrong)
    return USAGE if wrong else 0


def print_rows(rows: Sequence[tuple[str, str]], *, as_json: bool, ok: bool) -> None:
    """Print what a check found; further lines of a part have an empty name."""
    if not as_json:
        sys.stdout.write("\n".join(columns(rows)) + "\n")
        return
    parts: dict[str, list[str]] = {}
    last = ""
    for name, line in rows:
        last = name or last
        parts.setdefault(last, []).append(line)
    print_json({"ok": ok, "parts": parts})


def policy_lines(file: Path | None) -> list[str]:
    """Say what a policy file holds."""
    policy = load_policy(None if file is None else str(file))
    rule = policy.rules.victim_flood
    on = f"victim_flood ({rule.mode})" if rule.enabled else "none"
    named = "the default" if file is None else ascii(str(file))[1:-1]
    publishes = (
        "nothing would be published (shadow)"
        if "shadow" in {policy.mode, rule.mode}
        else "listings would be published"
    )
    return [
        f"ok  {named}, {policy_digest(policy)}",
        f"rule {on}: {publishes}",
    ]


def asn_lines(files: tuple[Path, ...], how: str = "give --asn-table") -> list[str]:
    """Say what ASN tables hold; `how` says what to do where there is none."""
    if not files:
        return [f"none: networks would be identified by their prefix ({how})"]
    from pipelines.tables.asn_file import load_asn_files

    found = load_asn_files(files)
    said = [f"ok  {len(files):,} in use, {found.digest[:12]}"]
    return said + [f"left out: {problem}" for problem in found.problems]


def provider_lines(file: Path | None) -> list[str]:
    """Say what a provider file holds."""
    from pipelines.tables.provider_file import load_providers

    registry = load_providers(file)
    named = "those shipped" if file is None else ascii(str(file))[1:-1]
    return [f"ok  {named}, {len(registry.names):,} providers, {registry.digest[:12]}"]


def store_lines(url: str, maker: str) -> list[str]:
    """Say what a store holds; `maker` would make one that is not there."""
    from pipelines.cli.stored import opened
    from pipelines.stores import open_store
    from pipelines.stores.redis_url import masked_url

    shown, path = masked_url(url), Path(url.removeprefix(_SQLITE))
    if url.startswith(_SQLITE) and not path.exists():
        if not path.absolute().parent.is_dir():
            open_store(url)  # raises the error that says so
        return [f"ok  {shown}: {maker} would create it"]
    with opened(url) as stored:
        changes = stored.store.last_seq()
        if not changes:
            return [f"ok  {shown}: empty"]
        at = stored.now_ms
        pending = len(stored.store.requests(pending_only=True))
        listed = len(stored.store.listings(at))
        return [
            f"ok  {shown}: {listed:,} listed as of {rfc3339(at)}, {changes:,} changes",
            f"decided by policy {policy_digest(stored.policy())}; {pending:,} requests pending",
        ]
