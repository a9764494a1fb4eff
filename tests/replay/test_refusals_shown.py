"""The summary says how many refusals count as messages, and how many do not."""

import json
from pathlib import Path

from tests.cli.command_line import START_MS, Call, event, floodwatch

__all__ = ["floodwatch"]


def test_refusals_are_told_by_action_and_cause(floodwatch: Call, tmp_path: Path) -> None:
    answers = [
        *[("reject", "blocklist")] * 5, *[("reject", "unknown_user")] * 3, ("reject", "content"),
        ("defer", "blocklist"), ("defer", "other"), ("accept", None),
    ]  # fmt: skip
    mail = [
        event(START_MS + n * 1000, "192.0.2.7", "ann@example.org") | {"action": act, "cause": cause}
        for n, (act, cause) in enumerate(answers)
    ]
    mail.append(mail[0] | {"time": START_MS + 60_000, "direction": "outbound"})
    path = tmp_path / "mail.ndjson"
    path.write_text("".join(json.dumps(one) + "\n" for one in mail))
    told = json.loads(floodwatch("replay", path, "--store", "memory:", "--json").out)
    assert told["refused"] == {
        "reject_blocklist": 5, "reject_unknown_user": 3, "defer_blocklist": 1, "defer_other": 1,
        "reject_content": 1,
    }  # fmt: skip
    assert (
        "Refused  1 counted as messages; not counted: 5 by block lists, 3 to unknown users, "
        "2 deferred"
    ) in floodwatch("replay", path, "--store", "memory:").out
