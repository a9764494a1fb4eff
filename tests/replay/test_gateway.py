"""A gateway in front of the site: it brings most mail, floods too, and is not listed by itself."""

import json
from pathlib import Path

from pipelines.replay.run import Replay, replay
from pipelines.stores.memory import MemoryStore

START_MS = 1_773_478_800_000
GATEWAY = "192.0.2.25"


def test_a_source_of_most_mail_is_held_with_the_setting_that_names_it(tmp_path: Path) -> None:
    mail = [(n * 2_400, GATEWAY, f"u{n % 60}@example.org") for n in range(3_000)]
    mail += [(n * 9_600, f"198.51.100.{n % 200}", f"u{n % 60}@example.org") for n in range(750)]
    mail += [(7_200_000 + n * 500, GATEWAY, "ann@example.org") for n in range(1_200)]
    lines = [
        {"time": START_MS + at, "client_ip": ip, "recipient": to, "action": "accept"}
        for at, ip, to in sorted(mail)
    ]
    file, decisions = tmp_path / "mail.ndjson", tmp_path / "decisions"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    summary = replay(Replay((str(file),), "memory:", decisions=decisions), MemoryStore())
    assert summary.gateways == (GATEWAY,)
    held = [
        one
        for one in map(json.loads, decisions.read_text().splitlines())
        if one["change"] == "hold"
    ]
    assert [one["subject"] for one in held] == [GATEWAY]
    assert "guard.never_list, site.networks or --trusted-relay" in held[0]["evidence"]["operator"]
    assert "list" not in summary.changes
