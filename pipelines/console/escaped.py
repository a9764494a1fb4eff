"""Text from logs as it may be shown: nothing in it moves a cursor, reorders or hides."""

from typing import Final

__all__ = ["escaped", "escaped_bytes"]

_BASIC_PLANE: Final = 0xFFFF


def escaped(text: str) -> str:
    r"""Write what cannot be printed as an escape: controls, bidi marks, odd spaces, surrogates.

    >>> escaped("a\x1b[31mb\u202ec")
    'a\\u001b[31mb\\u202ec'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(ord(c)) for c in text)


def escaped_bytes(content: bytes) -> str:
    r"""Write bytes that should be UTF-8; what is not becomes `\xNN`."""
    return escaped(content.decode("utf-8", "backslashreplace"))


def _escape(code: int) -> str:
    return f"\\u{code:04x}" if code <= _BASIC_PLANE else f"\\U{code:08x}"
