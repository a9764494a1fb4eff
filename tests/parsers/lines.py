"""Lines as Postfix writes them, from parts that a test chooses."""

from detector.events.contract import EventLists, Outcome
from pipelines.parsers.postfix import Parsed, PostfixParser

__all__ = ["MX", "REFERENCE_MS", "Row", "line", "message", "neutered", "parse", "quoted", "rows"]

MX = b"2026-11-24T07:17:47.123456+00:00 mx1 "
MX_MS = 1_795_504_667_123
REFERENCE_MS = MX_MS + 3_600_000

Row = tuple[int, int, str, str | None, str | None, str]
"""Record, time, client, recipient, sender, outcome."""


def line(program: str, text: str | bytes, prefix: bytes = MX) -> bytes:
    """One line of one Postfix program."""
    raw = text if isinstance(text, bytes) else text.encode()
    return prefix + f"postfix/{program}[1234]: ".encode() + raw


def message(
    queue_id: str,
    client: str = "unknown[203.0.113.5]",
    sender: str = "a@b.test",
    recipients: tuple[str, ...] = ("u@example.org",),
) -> list[bytes]:
    """The lines of one delivered message, without those that nobody reads."""
    return [
        line("smtpd", f"{queue_id}: client={client}"),
        line("cleanup", f"{queue_id}: message-id=<1.{queue_id}@b.test>"),
        line("qmgr", f"{queue_id}: from=<{sender}>, size=299, nrcpt=1 (queue active)"),
        *(
            line("lmtp", f"{queue_id}: to=<{recipient}>, relay=mda[private/lmtp], delay=0.1, "
                         "delays=0/0/0/0.1, dsn=2.0.0, status=sent (250 2.0.0 Saved)")
            for recipient in recipients
        ),
        line("qmgr", f"{queue_id}: removed"),
    ]  # fmt: skip


def parse(lines: list[bytes], first: int = 0, **settings: object) -> Parsed:
    """Parse lines in one run."""
    return PostfixParser(reference_ms=REFERENCE_MS, **settings).feed(lines, first)  # type: ignore[arg-type]


def rows(events: EventLists) -> list[Row]:
    """The events row by row."""
    return [
        (record, time, client, recipient, sender, Outcome(outcome & 15).name)
        for record, time, client, recipient, sender, outcome in zip(
            events.record, events.time_ms, events.client_ip, events.recipient, events.sender,
            events.outcome, strict=True,
        )
    ]  # fmt: skip


def quoted(local: bytes, domain: bytes) -> bytes:
    """An address as the fields show it: the local part in quotes."""
    return b'"' + local.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"@' + domain


def neutered(helo: bytes) -> bytes:
    """A HELO as Postfix logs it."""
    return bytes(ord("?") if byte in b' <>()\\";@' else byte for byte in helo)
