"""The traffic that a real Postfix logged is the traffic that went in, at its own times."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detector.events.contract import Outcome
from pipelines.simulate import SimulationSpec, simulate
from pipelines.simulate.postfix import PostfixError, for_postfix, send_through_postfix
from pipelines.simulate.postfix.mail import letters
from pipelines.simulate.postfix.rewrite import rewrite
from pipelines.simulate.postfix.server import PostfixServer
from pipelines.simulate.postfix.sessions import port_of
from tests.simulate.log_oracle import Told, answer_of, told_by


@pytest.mark.needs("postfix", root=True)
def test_a_real_log_tells_the_events_that_went_in() -> None:
    spec = SimulationSpec(23, events=3_000, hours=2.0, disorder=False, flood_share=0.25)
    result = simulate(spec)
    chosen = np.arange(len(result)) % 6 == 0
    part = replace(result, rows=result.rows.take(chosen), group=result.group[chosen])
    real = send_through_postfix(part, "rfc3339", sessions=4)
    rows, world = real.traffic.rows, real.traffic.world
    wanted: Told = Counter()
    for at in range(len(rows)):
        outcome = int(rows.outcome[at])
        ip = world.network.ips[rows.ip[at]]
        recipient = world.texts.texts[rows.recipient[at]]
        wanted[int(rows.time_ms[at]), ip, recipient, answer_of(outcome)] += 1
    assert told_by(real.lines) == wanted
    assert {digit for *_, digit in wanted} == {"2", "4", "5"}
    assert real.lines == sorted(real.lines, key=lambda line: line[:26])
    text = "\n".join(real.lines)
    assert "127.0.0.1" not in text
    assert "xclient" not in text
    accepted = [q for q, o in zip(real.queue_ids, rows.outcome.tolist(), strict=True) if o == 0]
    assert all(accepted)


def test_what_cannot_be_sent_is_left_out_and_the_truth_follows() -> None:
    result = simulate(SimulationSpec(2, events=20_000))
    sent = for_postfix(result)
    assert (sent.rows.recipient >= 0).all()
    assert set(sent.rows.outcome.tolist()) <= set(range(12)) - {int(Outcome.DISCARD)}
    assert (np.diff(sent.rows.time_ms) >= 0).all()
    assert sum(group.events for group in sent.groups) == len(sent) == len(sent.group)
    rows = [row for letter in letters(sent) for row in letter.rows]
    assert rows == list(range(len(sent)))


def test_lines_move_to_their_letters_time_and_lose_what_our_way_of_sending_left() -> None:
    result = for_postfix(simulate(SimulationSpec(3, events=3_000)))
    letter = letters(result)[0]
    at, ip, name = port_of(0), letter.client_ip, letter.client_name or "unknown"
    queue = "4jYZcr59kZz1SRvX"
    log = [
        "Nov 24 07:00:00 mx1 postfix/master[1]: daemon started",
        "Nov 24 07:00:00 mx1 postfix/smtpd[9]: connect from unknown[127.0.0.1]:40000",
        f"Nov 24 07:00:00 mx1 postfix/smtpd[9]: {queue}: client={name}[{ip}]:{at}",
        f"Nov 24 07:00:01 mx1 postfix/qmgr[3]: {queue}: from=<a@b.test>, size=4 (queue active)",
        (
            f"Nov 24 07:00:01 mx1 postfix/smtpd[9]: disconnect from {name}[{ip}]:{at} ehlo=2 "
            "xclient=0/1 mail=1 rcpt=1 data=1 quit=1 commands=6/7"
        ),
        (
            f"Nov 24 07:00:02 mx1 postfix/discard[4]: {queue}: to=<c@d.example>, relay=none, "
            "delay=0.5, delays=0/0/0/0.5, dsn=2.0.0, status=sent (d.example)"
        ),
        f"Nov 24 07:00:03 mx1 postfix/qmgr[3]: {queue}: removed",
    ]
    moved = rewrite(iter(log), [letter], "rfc3339", "mx1")
    assert moved.left_out == 1
    assert moved.queue_ids == {0: queue}
    assert [line.split("]: ", 1)[1] for line in moved.lines] == [
        f"connect from {name}[{ip}]",
        f"{queue}: client={name}[{ip}]",
        f"{queue}: from=<a@b.test>, size=4 (queue active)",
        f"disconnect from {name}[{ip}] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
        log[5].split("]: ", 1)[1],
        f"{queue}: removed",
    ]
    second = np.datetime64(letter.time_ms, "ms").astype(str)
    assert moved.lines[1].startswith(f"{second}000+00:00 mx1 postfix/smtpd[")
    syslog = rewrite(iter(log), [letter], "syslog", "mx1").lines[1]
    assert re.match(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d mx1 postfix/smtpd\[", syslog)


def test_a_missing_postfix_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.simulate.postfix.server._PATH", "/nonexistent")
    result = simulate(SimulationSpec(3, events=3_000, disorder=False))
    with pytest.raises(PostfixError, match="install"):
        send_through_postfix(result)


def test_postfix_wants_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _name, **_kw: "/usr/sbin/postfix")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(PostfixError, match="root"):
        PostfixServer(Path("/nonexistent"), (1, 2, 3), 1).start(set(), set())
