"""Names for the Postfix lines that nothing is read from: a fixed set, whatever a log holds."""

from typing import Final

from pipelines.parsers.postfix_lines import decoded
from pipelines.parsers.postfix_tags import POSTSCREEN, PROGRAM_NAMES, SMTPD

__all__ = ["kind_of"]

_SMTPD_KINDS: Final = tuple(
    (word.encode(), f"smtpd {word}")
    for word in (
        "warning", "lost connection", "timeout", "improper command", "too many errors",
        "Anonymous TLS", "Trusted TLS", "Untrusted TLS", "Verified TLS", "setting up TLS",
        "SSL_accept", "discarding EHLO", "statistics", "fatal",
    )
)  # fmt: skip
_ACTIONS: Final = (
    "reject_warning", "warn", "hold", "filter", "redirect", "prepend", "info", "permit", "bcc",
    "delay", "milter-hold", "client",
)  # fmt: skip
_POSTSCREEN_WORDS: Final = {
    b"CONNECT", b"DISCONNECT", b"PASS", b"PREGREET", b"HANGUP", b"DNSBL", b"ALLOWLISTED",
    b"DENYLISTED", b"WHITELISTED", b"BLACKLISTED", b"ALLOWLIST", b"WHITELIST",
    b"NOQUEUE:", b"NON-SMTP", b"BARE", b"COMMAND", b"cache",
}  # fmt: skip


def kind_of(program: int, word: bytes, text: bytes) -> str:
    """Name the kind of a message, given as its first word and the rest, by the program."""
    name = PROGRAM_NAMES[program]
    if program == SMTPD:
        for action in _ACTIONS:
            if text.startswith(action.encode() + b": "):
                return f"smtpd {action}"
        message = word + b" " + text
        for beginning, kind in _SMTPD_KINDS:
            if message.startswith(beginning):
                return kind
    elif word == b"warning:":
        return f"{name} warning"
    elif program == POSTSCREEN and word in _POSTSCREEN_WORDS:
        return f"postscreen {decoded(word)}"
    return f"{name} other"
