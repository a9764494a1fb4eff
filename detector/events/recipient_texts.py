"""The mailboxes that a recipient field names: display names, comments and lists in one string.

Logs of other programs hold what a header or a report says (`"Ann" <ann@example.org>`,
`a@example.org, b@example.org`), where an envelope has one address. Taken as one name, each such
text would be a mailbox of its own, and no flood would be seen.
"""

import re
from typing import Any, Final

__all__ = ["mailboxes_in", "with_lists"]

_SIGNS: Final = ",;:<([\" \t'"
_PLAIN: Final = re.compile(r"<?[^\s,;:<>()\[\]\"']+>?")
_PIECE: Final = re.compile(
    r'"(?:[^"\\]|\\.)*"?|<(?:"(?:[^"\\]|\\.)*"?|[^"<>])*>?|\((?:[^()\\]|\\.)*\)?|[,;]|[^",;<(]+',
    re.DOTALL,
)
"""A quoted string, an address in angle brackets, a comment, a separator, or other text.

What is not closed goes to its end: no text can make the search begin again and again.
"""
_TYPE: Final = re.compile(r"rfc822\s*;", re.IGNORECASE)
"""Before an address in a report on a delivery (RFC 3464)."""
_QUOTES: Final = ("''", '""')


def with_lists(recipients: list[Any]) -> list[Any]:
    """Give the recipients of records, with a list wherever one string names others than itself.

    A text that names no mailbox becomes [""], which is none.
    """
    try:
        texts = "".join(recipients)
    except TypeError:  # a list, or none
        texts = "".join(map(str, recipients))
    if not any(sign in texts for sign in _SIGNS):
        return recipients
    return [_spread(one) for one in recipients]


def _spread(recipient: Any) -> Any:
    if isinstance(recipient, str):
        return recipient if _PLAIN.fullmatch(recipient) else _one_or_several(recipient)
    if isinstance(recipient, list) and not all(map(_PLAIN.fullmatch, recipient)):
        return [name for text in recipient for name in mailboxes_in(text)]
    return recipient


def _one_or_several(text: str) -> str | list[str]:
    found = mailboxes_in(text)
    return found if len(found) != 1 or not found[0] else found[0]


def mailboxes_in(text: str) -> list[str]:
    r"""Give the mailboxes that a text names, each once; [""] where it names none.

    >>> mailboxes_in('"Lee, Ann" <ann@example.org>; bob@example.org (Bob)')
    ['ann@example.org', 'bob@example.org']
    >>> mailboxes_in('["ann@example.org", "bob@example.org"]'), mailboxes_in('"a,b"@example.org')
    (['ann@example.org', 'bob@example.org'], ['"a,b"@example.org'])
    >>> mailboxes_in("undisclosed-recipients:;"), mailboxes_in("rfc822;ann@example.org")
    ([''], ['ann@example.org'])
    """
    whole = text
    text = _TYPE.sub("", text.strip(), count=1)
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    names: list[str] = []
    address: str | None
    words, address = "", None
    for piece in [*_PIECE.findall(text), ","]:
        if piece in {",", ";"}:
            # A name may hold a comma: "Lee, Ann <ann@example.org>".
            names += _bare(words) if address is None else [address]
            words, address = "", None
        elif piece.startswith("<") and piece.endswith(">") and len(piece) > 1:
            if address is not None:
                names.append(address)
            elif names and "@" not in names[-1]:
                names.pop()
            address = piece[1:-1].strip()
        elif not (piece.startswith("(") and piece.endswith(")") and len(piece) > 1):
            words += piece
    if len(names) > 1 and not all("@" in name for name in names):
        return [whole]  # a local part with a comma, which a sender can choose, is no list
    return list(dict.fromkeys(names)) or [""]


def _bare(words: str) -> list[str]:
    """Give the addresses of a part without angle brackets: one, or several between spaces."""
    words = words.strip()
    if len(words) > 1 and words[0] + words[-1] in _QUOTES:
        words = words[1:-1].strip()
    before, colon, after = words.rpartition(":")
    if colon and "@" not in before and '"' not in before:  # the name of a group, or mailto:
        words = after.strip()
    if not words:
        return []
    several = words.split()
    if len(several) > 1 and all("@" in one for one in several) and '"' not in words:
        return several
    return [words] if "@" in words or len(several) == 1 else [""]
