"""Each preset reads the records of its program as they are documented."""

from typing import Any

import pytest

from detector.events.contract import OUTBOUND, Outcome
from detector.events.decode import EventReader
from detector.events.interning import NO_SENDER, NULL_SENDER, KeyTables
from pipelines.shapes.field_mapping import MOST_KINDS, MappedLines
from tests.mapped_records import (
    AT_MS,
    ECS,
    KUMOMTA,
    RSPAMD_EXPORT,
    RSPAMD_HISTORY,
    VECTOR,
    changed,
    lines,
    read,
    rejects,
    row,
    source,
)


def test_kumomta_receives_a_message() -> None:
    at, time, ip, to, outcome, sender, asn = row("kumomta", KUMOMTA)
    assert (at, time, ip, to, asn) == (0, AT_MS, "192.0.2.7", "ann@example.org", -1)
    assert outcome == Outcome.ACCEPT
    assert sender not in {NULL_SENDER, NO_SENDER}


@pytest.mark.parametrize(
    ("code", "enhanced", "outcome"),
    [
        (550, {"class": 5, "subject": 1, "detail": 1}, Outcome.REJECT_UNKNOWN_USER),
        (554, None, Outcome.REJECT_OTHER),
        (550, {"class": 5, "subject": 7, "detail": 1}, Outcome.REJECT_OTHER),
        (451, {"class": 4, "subject": 7, "detail": 1}, Outcome.DEFER_OTHER),
        ("421", None, Outcome.DEFER_OTHER),
    ],
)
def test_kumomta_refuses_for_good_or_for_now(code: Any, enhanced: Any, outcome: Outcome) -> None:
    """Its one kind Rejection stands for both; only the code tells them apart."""
    answer = {"code": code, "enhanced_code": enhanced, "content": "no", "command": "RCPT TO"}
    assert row("kumomta", changed(KUMOMTA, type="Rejection", response=answer))[4] == outcome


def test_kumomta_refuses_a_client_before_it_named_anybody() -> None:
    """The empty sender is one that was never named, not the null sender of backscatter."""
    record = changed(KUMOMTA, type="Rejection", response__code=554, recipient="", sender="")
    assert row("kumomta", record)[3:6] == (None, Outcome.REJECT_OTHER, NO_SENDER)
    assert row("kumomta", changed(KUMOMTA, sender=""))[5] == NULL_SENDER


def test_kumomta_tells_its_own_users_from_the_world() -> None:
    signed_in = changed(KUMOMTA, meta={"authn_id": "ESMTP"})
    injected = changed(KUMOMTA, reception_protocol="HTTP")
    assert row("kumomta", changed(KUMOMTA, meta={"authn_id": "bob"}))[4] == OUTBOUND
    assert row("kumomta", injected)[4] == OUTBOUND
    assert row("kumomta", signed_in)[4] == Outcome.ACCEPT  # a user who is called like the protocol


def test_records_of_no_interest_are_counted_by_kind_and_keep_their_lines() -> None:
    kinds = ["Delivery", "Bounce", "TransientFailure", "Delivery", "OOB", "Feedback"]
    records = [changed(KUMOMTA, type=kind) for kind in kinds]
    block = lines(records[0], KUMOMTA, *records[1:], KUMOMTA)
    found, rows = read(source("kumomta"), block, 100)
    assert [r[0] for r in rows] == [101, 107]
    assert (found.rejects, found.lines) == ([], 8)
    assert found.kinds == {
        "Delivery": 2, "Bounce": 1, "TransientFailure": 1, "OOB": 1, "Feedback": 1,
    }  # fmt: skip
    nothing, none = read(source("kumomta"), lines(*records))
    assert (none, nothing.rejects, nothing.lines) == ([], [], 6)


def test_kinds_that_nobody_knows_are_counted_within_bounds() -> None:
    block = lines(*(changed(KUMOMTA, type=f"\x1b{n}") for n in range(1_000)))
    reader = MappedLines(source("kumomta"), EventReader(KeyTables()))
    kinds = reader.read(block, 0).kinds
    assert len(kinds) == MOST_KINDS + 1
    assert kinds["other"] == 1_000 - MOST_KINDS
    assert "\\u001b0" in kinds
    assert set(reader.read(block, 0).kinds) == set(kinds)


@pytest.mark.parametrize(
    ("action", "outcome"),
    [
        ("no action", Outcome.ACCEPT),
        ("add header", Outcome.ACCEPT),
        ("rewrite subject", Outcome.ACCEPT),
        ("quarantine", Outcome.ACCEPT),
        ("greylist", Outcome.DEFER_OTHER),
        ("soft reject", Outcome.DEFER_OTHER),
        ("reject", Outcome.REJECT_CONTENT),
        ("discard", Outcome.DISCARD),
    ],
)
def test_rspamd_says_what_becomes_of_a_message(action: str, outcome: Outcome) -> None:
    _, rows = read(source("rspamd"), lines(changed(RSPAMD_HISTORY, action=action)))
    assert [r[1:5] for r in rows] == [
        (AT_MS, "192.0.2.7", "ann@example.org", outcome),
        (AT_MS, "192.0.2.7", "joe@example.org", outcome),
    ]


def test_rspamd_exports_its_metadata_to_which_somebody_adds_a_time() -> None:
    _, time, ip, to, outcome, _, _ = row("rspamd", RSPAMD_EXPORT)
    assert (time, ip, to) == (AT_MS + 250, "2001:db8::/64", "ann@example.org")
    assert outcome == Outcome.ACCEPT
    assert rejects("rspamd", changed(RSPAMD_EXPORT, timestamp=...))[0][0] == "bad_time"


def test_what_rspamd_does_not_know_is_not_there() -> None:
    unknown = changed(RSPAMD_HISTORY, sender_smtp="unknown", rcpt_smtp=["unknown", "a@example.org"])
    assert row("rspamd", unknown)[3:6] == ("a@example.org", Outcome.REJECT_CONTENT, NO_SENDER)
    assert row("rspamd", changed(RSPAMD_EXPORT, user="bob"))[4] == OUTBOUND
    assert rejects("rspamd", changed(RSPAMD_HISTORY, ip="unknown")) == [
        ("missing_field", "client_ip: missing")
    ]
    accepted = changed(RSPAMD_EXPORT, rcpt="unknown")
    assert rejects("rspamd", accepted)[0][0] == "missing_field"


def test_vector_keeps_our_names_and_its_own_time() -> None:
    assert row("vector", VECTOR) == (
        0, AT_MS + 250, "192.0.2.7", "ann@example.org", Outcome.REJECT_BLOCKLIST, NULL_SENDER, -1,
    )  # fmt: skip


def test_ecs_is_read_nested_and_with_dots_in_its_names() -> None:
    flat = {
        "@timestamp": ECS["@timestamp"], "event.category": "email", "event.outcome": "failure",
        "source.ip": "192.0.2.7", "source.as.number": 64_500,
        "email.from.address": "bob@example.net",
        "email.to.address": ["ann@example.org", "joe@example.org"],
    }  # fmt: skip
    _, nested_rows = read(source("ecs"), lines(ECS))
    _, flat_rows = read(source("ecs"), lines(flat))
    assert nested_rows == flat_rows
    assert [r[3:5] for r in nested_rows] == [
        ("ann@example.org", Outcome.REJECT_OTHER),
        ("joe@example.org", Outcome.REJECT_OTHER),
    ]
    assert {r[6] for r in nested_rows} == {64_500}


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        ({"action": "smtp-rcpt", "outcome": "success"}, Outcome.ACCEPT),
        ({"action": "deferred", "outcome": "failure"}, Outcome.DEFER_OTHER),
        ({"action": "discard"}, Outcome.DISCARD),
    ],
)
def test_the_first_value_that_means_something_counts(event: Any, outcome: Outcome) -> None:
    assert read(source("ecs"), lines(changed(ECS, event=event)))[1][0][4] == outcome


def test_values_that_mean_nothing_are_rejected_by_the_reader() -> None:
    odd = changed(ECS, event={"action": "smtp-rcpt", "outcome": "unknown"})
    assert rejects("ecs", odd) == [("bad_value", "Invalid enum value 'smtp-rcpt' - at `$.action`")]
    assert rejects("kumomta", changed(KUMOMTA, response__code=99))[0][0] == "mistyped"
    assert rejects("kumomta", changed(KUMOMTA, response=...))[0] == (
        "missing_field", "action: want accept, reject, defer or discard",
    )  # fmt: skip
