"""A real Postfix log moved to the traffic's own times, line by line.

Every line of a message is found by its queue id, a line without one by the client port of its
session. What only our way of sending left behind is taken back: the port, the XCLIENT command,
the loopback address of the connect line, and the processes' numbers where two sessions of one
process would overlap in the new time.
"""

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

from pipelines.simulate.postfix.mail import Letter
from pipelines.simulate.postfix.sessions import PORTS, port_of

__all__ = ["Prefix", "Rewritten", "rewrite"]

Prefix = Literal["syslog", "rfc3339"]

_LINE: Final = re.compile(r"^\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ (postfix/[a-z-]+)\[(\d+)\]: (.*)$")
_QUEUED: Final = re.compile(r"^([0-9A-Za-z]{10,20}|[0-9A-F]{6,}): ")
_CLIENT: Final = re.compile(
    r"(^connect from |^disconnect from |: client=|(?:RCPT|END-OF-MESSAGE) from )"
    r"([^\s\[]+\[[0-9A-Fa-f.:]+\]):(\d+)"
)
_DELAY: Final = re.compile(r", delay=([\d.]+),")
_COUNTS: Final = re.compile(r" ehlo=2 xclient=0/1 (.*)commands=(\d+)/(\d+)$")
_DAEMONS: Final = ("postfix/smtpd", "postfix/cleanup", "postfix/qmgr", "postfix/discard")


@dataclass(slots=True)
class Rewritten:
    """The new log and what was learned on the way."""

    lines: list[str]
    queue_ids: dict[int, str]
    left_out: int


@dataclass(slots=True)
class _Session:
    letter: int | None = None
    lines: list[str] = field(default_factory=list)


@dataclass(order=True, slots=True)
class _Moved:
    time_ms: int
    order: int
    daemon: str = field(compare=False)
    pid: int = field(compare=False)
    text: str = field(compare=False)


def rewrite(log: Iterator[str], letters: list[Letter], prefix: Prefix, host: str) -> Rewritten:
    """Give the lines of `log` at the times of `letters`, sorted by time, with a new prefix.

    The line that dates a message (`client=`, or its rejection) has the letter's time to the
    millisecond (to the second with `syslog`); its other lines follow within milliseconds, a
    delivery by its own `delay=`. Lines that belong to no letter are left out and counted.
    """
    of_port = {port_of(i): i for i in range(min(len(letters), PORTS) - 1, -1, -1)}
    of_queue: dict[str, int] = {}
    queue_ids: dict[int, str] = {}
    sessions: dict[str, _Session] = {}
    finished: list[_Session] = []
    moved: list[_Moved] = []
    delivered: dict[int, int] = {}
    left_out = 0
    for order, line in enumerate(log):
        parsed = _LINE.match(line)
        if parsed is None or parsed[1] not in _DAEMONS:
            left_out += 1
            continue
        daemon, pid, text = parsed[1], parsed[2], parsed[3]
        client = _CLIENT.search(text)
        queued = _QUEUED.match(text)
        if daemon == "postfix/smtpd":
            if text.startswith("connect from "):
                sessions[pid] = _Session()
            session = sessions.get(pid)
            if session is None or client is None:
                left_out += 1
                continue
            if not text.startswith("connect from "):
                session.letter = of_port[int(client[3])]
                if queued:
                    of_queue[queued[1]] = session.letter
                    queue_ids[session.letter] = queued[1]
            session.lines.append(text)
            if text.startswith("disconnect from ") and session.letter is not None:
                finished.append(sessions.pop(pid))
                of_port[int(client[3])] = session.letter + PORTS
            continue
        letter = of_queue.get(queued[1]) if queued else None
        if letter is None:
            left_out += 1
            continue
        offset = _offset(daemon, text, delivered.get(letter, 2))
        if daemon == "postfix/discard":
            delivered[letter] = max(offset, delivered.get(letter, 0))
        time_ms = letters[letter].time_ms + offset
        moved.append(_Moved(time_ms, order, daemon, int(pid), _without_port(text)))
    moved.extend(_smtpd_lines(finished, letters, len(moved)))
    moved.sort()
    stamp = _syslog if prefix == "syslog" else _rfc3339
    return Rewritten(
        [f"{stamp(m.time_ms)} {host} {m.daemon}[{m.pid}]: {m.text}" for m in moved],
        queue_ids,
        left_out,
    )


def _smtpd_lines(finished: list[_Session], letters: list[Letter], order: int) -> Iterator[_Moved]:
    """Give the sessions' lines, each session in a process that has no other at that time."""
    free: list[tuple[int, int]] = []
    next_pid = 20_011
    dated = [(letters[s.letter].time_ms, s.letter, s) for s in finished if s.letter is not None]
    for time_ms, index, session in sorted(dated, key=lambda entry: entry[:2]):
        letter = letters[index]
        name = letter.client_name or "unknown"
        first, last = time_ms - 5, time_ms + 6
        if free and free[0][0] < first:
            _, pid = heapq.heappop(free)
        else:
            pid = next_pid
            next_pid += 3 + next_pid % 11
        heapq.heappush(free, (last, pid))
        for text in session.lines:
            clean = _without_port(text)
            at = time_ms
            if text.startswith("connect from "):
                clean, at = f"connect from {name}[{letter.client_ip}]", first
            elif text.startswith("disconnect from "):
                clean, at = _without_xclient(clean), last
            yield _Moved(at, order - len(letters) * 4 + index, "postfix/smtpd", pid, clean)


def _offset(daemon: str, text: str, last: int) -> int:
    """Give how many milliseconds behind its letter a line comes; `last` is the delivery's."""
    if "milter-reject:" in text:
        return 0
    if daemon == "postfix/cleanup":
        return 1
    delay = _DELAY.search(text)
    if delay:
        return int(float(delay[1]) * 1000) + 3
    return last + 1 if text.endswith(": removed") else 2


def _without_port(text: str) -> str:
    return _CLIENT.sub(r"\1\2", text, count=1)


def _without_xclient(text: str) -> str:
    def fewer(match: re.Match[str]) -> str:
        done, asked = int(match[2]) - 1, int(match[3]) - 2
        return f" ehlo=1 {match[1]}commands={done}" + (f"/{asked}" if asked != done else "")

    return _COUNTS.sub(fewer, text, count=1)


def _syslog(time_ms: int) -> str:
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{moment:%b} {moment.day:2d} {moment:%H:%M:%S}"


def _rfc3339(time_ms: int) -> str:
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}000+00:00"
