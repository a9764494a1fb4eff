"""The mail that cases start from, as Postfix writes it: quiet hours with one flood."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from tests.cli.command_line import story

__all__ = ["delivered", "plain_log", "stamp", "story"]

_SENT: Final = (
    "relay=mda[private/lmtp], delay=0.1, delays=0/0/0/0.1, dsn=2.0.0, status=sent (250 2.0.0 Saved)"
)


def stamp(time_ms: int) -> str:
    """Give a time with its zone, as rsyslog writes it."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="microseconds")


def delivered(number: int, mail: dict[str, Any], host: str = "mx1") -> list[bytes]:
    """Give the lines of one message that was received and delivered."""
    queue_id = f"{0xA0000 + number:X}"
    texts = (
        ("smtpd", f"{queue_id}: client=unknown[{mail['client_ip']}]"),
        ("cleanup", f"{queue_id}: message-id=<{number}@b.example>"),
        ("qmgr", f"{queue_id}: from=<{mail['sender']}>, size=300, nrcpt=1 (queue active)"),
        ("lmtp", f"{queue_id}: to=<{mail['recipient']}>, {_SENT}"),
        ("qmgr", f"{queue_id}: removed"),
    )
    prefix = f"{stamp(mail['time'])} {host} postfix"
    return [f"{prefix}/{program}[100]: {text}".encode() for program, text in texts]


def plain_log() -> Iterator[bytes]:
    """Give forty minutes of delivered mail with a flood of one minute."""
    for number, mail in enumerate(story()):
        yield from delivered(number, mail)
