"""A slow, obvious reader of the logs that our own Postfix runs leave; shares no code with ours."""

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from detector.events.contract import Outcome

__all__ = ["Told", "answer_of", "told_by"]

Told = Counter[tuple[int, str, str, str]]
"""How often each (time in ms, client, recipient, first digit of the answer) was told."""

_MOMENT = r"^(\S+?)000\+00:00 mx1 postfix/\w+\[\d+\]: "
_CLIENT = re.compile(_MOMENT + r"(\w+): client=[^\[]+\[([^\]]+)\]$")
_SENT = re.compile(_MOMENT + r"(\w+): to=<([^>]*)>, .* status=sent ")
_REFUSED = re.compile(
    _MOMENT + r"\w+: (?:milter-)?reject: (?:RCPT|END-OF-MESSAGE) from [^\[]+\[([^\]]+)\]: "
    r"([45])\S*[ .].*?; from=<([^>]*)> to=<([^>]*)> "
)


def told_by(lines: Iterable[str]) -> Told:
    """Count what a log tells: deliveries dated by their arrival, and refusals."""
    client: dict[str, tuple[int, str]] = {}
    told: Told = Counter()
    for line in lines:
        if found := _CLIENT.match(line):
            client[found[2]] = (_ms(found[1]), found[3])
        elif found := _SENT.match(line):
            told[*client[found[2]], found[3], "2"] += 1
        elif found := _REFUSED.match(line):
            told[_ms(found[1]), found[2], found[5], found[3]] += 1
    return told


def answer_of(outcome: int) -> str:
    """Give the first digit of the answer that an outcome stands for."""
    return "2" if outcome == Outcome.ACCEPT else "5" if outcome < Outcome.DEFER_OTHER else "4"


def _ms(text: str) -> int:
    return int(np.datetime64(text, "ms").astype(np.int64))
