"""Says what a file is that no parser reads, and what to do about it."""

import re
from typing import Final

__all__ = ["foreign_file", "foreign_program"]

_MOST_LINES: Final = 100
_EVENTS: Final = "convert it to events in JSON (see `floodwatch schema event`)"
_STAMP: Final = rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?(?: [+-]\d{4})?"
_SYSLOG: Final = (
    rb"(?:<\d{1,3}>)?(?:1 )?"
    rb"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\S*)"
)
_NO_POSTFIX: Final = (
    "a system log that does not begin with lines from Postfix: name the file to which Postfix "
    "logs, or use --format postfix if its lines come later"
)
_PROGRAMS: Final = (
    (
        re.compile(rb"#Software: Microsoft Exchange"),
        f"a message tracking log of Microsoft Exchange, which is not read: {_EVENTS}",
    ),
    (
        re.compile(
            _STAMP + rb" (?:\[\d+\] )?(?:\w{6}-\w{6,11}-\w{2,4} |.{0,256}\bH=|exim |no host name)",
        ),
        f"a log of Exim, which is not read: {_EVENTS}",
    ),
    (
        re.compile(_SYSLOG + rb" \S+ (?:\[ID [^\]\n]*\] )?(?:sendmail|sm-mta|sm-msp-queue)\["),
        f"a log of Sendmail, which is not read: {_EVENTS}",
    ),
)  # fmt: skip
_KINDS: Final = (
    (
        re.compile(rb"\s*<(?:!doctype html|html|\?xml)", re.IGNORECASE),
        "an HTML or XML page, probably saved instead of the log: download the log again",
    ),
    (
        re.compile(rb"\xff\xfe|\xfe\xff"),
        "text in UTF-16: write it in UTF-8, for example with iconv -f utf-16 -t utf-8",
    ),
    (
        re.compile(rb"LPKSHHRH"),
        "a binary journal: write it as text with `journalctl --file FILE -o short-iso-precise`",
    ),
    (
        re.compile(rb"\x1f\x8b|\x28\xb5\x2f\xfd"),
        "compressed, perhaps twice: decompress it until it is text",
    ),
    (re.compile(rb"SQLite format 3\0"), "an SQLite database: name the log it was made from"),
    (re.compile(rb"[^\n]{0,4096}\0"), "a binary file: name a log"),
    (
        re.compile(_SYSLOG + rb" \S+ \S+"),
        _NO_POSTFIX,
    ),
)  # fmt: skip


def foreign_file(head: bytes) -> str:
    r"""Say what begins with `head`, with the next step; "" if that is not known.

    >>> foreign_file(b"<!DOCTYPE html>\n")
    'an HTML or XML page, probably saved instead of the log: download the log again'
    >>> foreign_file(b"Dear Ann")
    ''
    """
    return (
        foreign_program(head, _KINDS[:-1]) or foreign_program(head) or foreign_program(head, _KINDS)
    )


def foreign_program(
    head: bytes, kinds: tuple[tuple[re.Pattern[bytes], str], ...] = _PROGRAMS
) -> str:
    """Say which other mail server wrote what begins with `head`; "" if none did."""
    lines = [line for line in head.split(b"\n")[:_MOST_LINES] if line.strip()]
    return next((words for form, words in kinds if any(map(form.match, lines))), "")
