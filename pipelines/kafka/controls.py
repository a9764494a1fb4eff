"""Controls of operators: appended to the log, and what the detectors make of them awaited."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any, Final

from detector.events.interning import KeyTables
from detector.log.closing import acts_at
from detector.log.records import (
    AllowlistChange,
    AsnTableChange,
    Control,
    Gap,
    OperatorAction,
    PolicyChange,
    encode_record,
)
from pipelines.kafka.clients import KafkaClients, MissingTopicError, partitions_of
from pipelines.kafka.log_topic import TopicReader
from pipelines.wire import Progress

__all__ = ["Heard", "Operator", "Sent", "input_partitions", "send_control"]

Operator = PolicyChange | AsnTableChange | AllowlistChange | OperatorAction | Gap
"""The controls that people send."""

_POLL_S: Final = 0.2
_LOOK_BACK: Final = 200
"""Messages at the end of the listings in which running detectors are looked for: a minute's or so.
"""


@dataclass(frozen=True, slots=True)
class Heard:
    """The last progress message of a detector: when (Unix ms), and the next log record it reads."""

    time_ms: int
    log_offset: int


@dataclass(slots=True)
class Sent:
    """The outcome of a control: `offset` is its place in the log.

    `read` says whether a detector has read past it, `tick` the close at which it acts (None: not
    known, or at once), `acted` whether that has come. `answers` are the changes made for it.
    `detectors` are those heard lately, by name (host and snapshot).
    """

    offset: int
    read: bool = False
    tick: int | None = None
    acted: bool = False
    answers: tuple[dict[str, Any], ...] = ()
    detectors: dict[str, Heard] = field(default_factory=dict)


async def send_control(clients: KafkaClients, control: Operator, wait_s: float) -> Sent:
    """Append a control, and wait so long for a detector to act on it.

    A new policy or ASN table waits for the end of a minute of event time; for that nobody waits
    here. What follows from the log is the same in all detectors, so the first to tell is believed.

    Raises:
        BrokerError: Kafka does not answer; the control may stand in the log all the same.
        MissingTopicError: there is no log, or no listings.
        WireError: a detector of another version writes the listings.
    """
    async with (
        TopicReader(clients, clients.log_topic),  # is there, with one partition
        TopicReader(clients, clients.listings_topic) as listings,
    ):
        first, end = await listings.bounds()
        await listings.start_at(max(first, end - _LOOK_BACK))
        detectors: dict[str, Heard] = {}
        while listings.position < end:
            for record, message in await listings.next_listings(_POLL_S):
                _hear(record, message, detectors)
        sent = Sent(await _append(clients, control), detectors=detectors)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await _follow(listings, control, sent)
    return sent


async def input_partitions(clients: KafkaClients) -> int:
    """Give how many partitions the input has.

    Raises:
        BrokerError: Kafka does not answer.
        MissingTopicError: there is no input.
    """
    async with clients.started(clients.consumer()) as consumer:
        count = len(await partitions_of(consumer, clients.input_topic))
    if not count:
        raise MissingTopicError(clients.input_topic, "missing")
    return count


async def _append(clients: KafkaClients, control: Control) -> int:
    async with clients.started(clients.producer()) as producer:
        with clients.speaking():
            placed = await producer.send_and_wait(
                clients.log_topic, encode_record(control, KeyTables()), partition=0
            )
    offset: int = placed.offset
    return offset


async def _follow(listings: TopicReader, control: Operator, sent: Sent) -> None:
    request = control.request if isinstance(control, OperatorAction) else ""
    answers: dict[int, dict[str, Any]] = {}
    while True:
        for record, message in await listings.next_listings(_POLL_S):
            _hear(record, message, sent.detectors)
            if isinstance(message, Progress):
                if _is_done(control, sent, message):
                    return
            elif isinstance(message, dict) and request and message.get("request") == request:
                answers.setdefault(message["seq"], message)
                sent.answers = tuple(answers.values())


def _hear(record: Any, message: object, detectors: dict[str, Heard]) -> None:
    if isinstance(message, Progress):
        name = (record.key or b"").decode(errors="replace")
        detectors[name] = Heard(record.timestamp, message.log_offset)


def _is_done(control: Operator, sent: Sent, progress: Progress) -> bool:
    """Note how far a detector is; say whether there is nothing more to wait for."""
    if progress.log_offset <= sent.offset:
        return False
    if isinstance(control, Gap):
        sent.read = sent.acted = True
        return True
    if not sent.read:
        sent.read = True
        first = 0 if progress.closed is None else progress.closed + 1
        sent.tick = acts_at(control, first)
    assert sent.tick is not None  # noqa: S101 - set when it was read
    sent.acted = progress.closed is not None and progress.closed >= sent.tick
    return sent.acted or isinstance(control, PolicyChange | AsnTableChange)
