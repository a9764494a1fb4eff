"""Signatures in the manner of Standard Webhooks 1.0.0, HMAC-SHA256.

What is signed is, byte for byte, `<webhook-id>.<webhook-timestamp>.<body>`, where the time is that
of the attempt in whole Unix seconds and the body is what was sent. The header `webhook-signature`
has `v1,<base64>` for each secret, with a space between: while a secret is being changed both sign.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

__all__ = ["ID_HEADER", "SIGNATURE_HEADER", "TIME_HEADER", "TOLERANCE_S", "sign", "verify"]

ID_HEADER: Final = "webhook-id"
TIME_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"
TOLERANCE_S: Final = 300
_VERSION: Final = "v1,"


def sign(message_id: str, time_s: int, body: bytes, keys: Sequence[bytes]) -> str:
    """Give the value of `webhook-signature`; `keys` are the secrets, decoded.

    >>> sign("e1", 1767225600, b'{"a": 1}', [b"k" * 24])
    'v1,9kbS//sqdz+ULxqVSUB4UUtEq2SZNUJbVQIEUMyZs4Y='
    """
    return " ".join(_VERSION + _digest(message_id, time_s, body, key) for key in keys)


def verify(
    message_id: str, timestamp: str, body: bytes, signature: str, *,
    keys: Sequence[bytes], now_s: int, tolerance_s: int = TOLERANCE_S,
) -> bool:  # fmt: skip
    """Say, as a receiver, whether a message is ours, new enough, and as it was sent.

    `timestamp` and `signature` are the headers as they came. One signature by one of the keys is
    enough; those of unknown versions are skipped. Compared in constant time.

    >>> keys = [b"k" * 24]
    >>> signature = sign("e1", 1767225600, b"{}", keys)
    >>> verify("e1", "1767225600", b"{}", signature, keys=keys, now_s=1767225610)
    True
    >>> verify("e1", "1767225600", b"{ }", signature, keys=keys, now_s=1767225610)
    False
    >>> verify("e1", "1767225600", b"{}", signature, keys=keys, now_s=1767229200)
    False
    """
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):  # noqa: PLR2004 - digits of a time
        return False
    time_s = int(timestamp)
    if abs(now_s - time_s) > tolerance_s:
        return False
    own = [(_VERSION + _digest(message_id, time_s, body, key)).encode() for key in keys]
    given = [text.encode("utf-8", "replace") for text in signature.split(" ")]
    return any([hmac.compare_digest(a, b) for a in own for b in given])  # noqa: C419 - all of them


def _digest(message_id: str, time_s: int, body: bytes, key: bytes) -> str:
    signed = f"{message_id}.{time_s}.".encode() + body
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
