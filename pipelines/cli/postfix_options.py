"""What the command line says of raw Postfix logs, read for a replay and for following alike."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pipelines.cli.guarded import UsageError

__all__ = ["check_relays", "offset_s"]


def offset_s(text: str) -> int:
    """Read an offset from UTC; give seconds.

    Raises:
        UsageError: it is none.
    """
    try:
        zone = datetime.strptime(text, "%z").utcoffset() or timedelta(0)
    except ValueError:
        raise UsageError(f"--utc-offset: got {text!a}, want +HH:MM") from None
    return int(zone.total_seconds())


def check_relays(relays: Sequence[str]) -> None:
    """See that each trusted relay is a network.

    Raises:
        UsageError: one is not.
    """
    from pipelines.parsers.postfix import PostfixParser

    try:
        PostfixParser(reference_ms=0, trusted_relays=tuple(relays))
    except ValueError as error:
        raise UsageError(f"--trusted-relay: {ascii(str(error))[1:-1]}") from None
