"""Whatever a client writes decides nothing: not who it is, whom it wrote to, nor that it is ours.

Each field that the client chooses is fuzzed with pieces of what Postfix itself would write there;
the events must be those of a harmless text in its place.
"""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.parsers.lines import line, parse

CLIENT = "203.0.113.10"
OTHER = "198.51.100.66"
PIECES = (
    ", sasl_method=PLAIN, sasl_username=me", " sasl_username=me", ", sasl_sender=a",
    f", orig_client=x[{OTHER}]", ", orig_queue_id=B7A11", f": client=unknown[{OTHER}]",
    f" from unknown[{OTHER}]: 250 ", "; from=<x@evil.test> to=<y@example.org> proto=ESMTP",
    "helo=<x>", "> proto=ESMTP", ">", "<", "]", "[", ": ", ", ", ";", " to=<y@example.org>",
    ">, relay=none, ", ">, size=3, nrcpt=1", "5.1.1 User unknown", "blocked using zen", "\\", '"',
    f"reject: RCPT from x[{OTHER}]: 554 5.7.1", "a", "@", " ", "\\r", "=", "removed", "0",
)  # fmt: skip

text = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
unspaced = text.map(lambda one: one.replace(" ", ""))
address = unspaced.map(lambda one: one.replace('"', "").replace("\\", ""))


def accepted(*, reverse: str = "", sender: str = "a", message_id: str = "i", auth: str = "") -> Any:
    name = reverse or "unknown"
    login = f", sasl_sender={auth}" if auth else ""
    return [
        line("smtpd", f"A9434A1A3CD: client={name}[{CLIENT}]{login}"),
        line("cleanup", f"A9434A1A3CD: message-id=<{message_id}>"),
        line("qmgr", f"A9434A1A3CD: from=<{sender}>, size=300, nrcpt=1 (queue active)"),
        line(
            "virtual",
            "A9434A1A3CD: to=<ann@example.org>, relay=virtual, delay=0.1, delays=0.1/0/0/0, "
            "dsn=2.0.0, status=sent (delivered to maildir)",
        ),
    ]


def refused(*, helo: str = "x", sender: str = "a@b.test", auth: str = "") -> Any:
    login = f" sasl_sender={auth}" if auth else ""
    said = (
        f"NOQUEUE: reject: RCPT from unknown[{CLIENT}]: 554 5.7.1 <ann@example.org>: Recipient "
        f"address rejected: Access denied; from=<{sender}> to=<ann@example.org> proto=ESMTP "
        f"helo=<{helo}>{login}"
    )
    return [line("smtpd", said)]


def checked(*, header: str = "x") -> Any:
    said = (
        f"A9434A1A3CD: reject: header Subject: {header} from unknown[{CLIENT}]; from=<a@b.test> "
        "to=<ann@example.org> proto=ESMTP helo=<x>: 5.7.1 message content rejected"
    )
    return [accepted()[0], line("cleanup", said)]


def decided(lines: list[bytes]) -> list[Any]:
    """Give what was decided of each event: all but the sender, which is the client's own text."""
    parsed = parse(lines)
    assert parsed.rejects == []
    events = parsed.events
    return [events.record, events.time_ms, events.client_ip, events.recipient, events.outcome]


@pytest.mark.parametrize(
    ("made", "field", "drawn"),
    [
        (accepted, "message_id", text),
        (accepted, "auth", text),
        (accepted, "sender", address),
        (refused, "helo", unspaced),
        (refused, "sender", address),
        (refused, "auth", text),
        (checked, "header", text),
    ],
    ids=lambda one: getattr(one, "__name__", one if isinstance(one, str) else ""),
)
def test_a_field_of_the_client_decides_nothing(
    made: Callable[..., list[bytes]], field: str, drawn: st.SearchStrategy[str]
) -> None:
    plain = decided(made())

    @given(drawn)
    def law(written: str) -> None:
        assert decided(made(**{field: written})) == plain

    law()
