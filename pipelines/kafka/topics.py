"""The topics: what they should be, what they are, and how to make what is missing."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import InvalidReplicationFactorError, TopicAlreadyExistsError, for_code

from detector.errors import SettingsError
from pipelines.kafka.clients import LARGEST_MESSAGE, BrokerError, KafkaClients

__all__ = [
    "TopicPlan",
    "cannot_be_made",
    "check_topics",
    "create_topics",
    "is_missing",
    "planned_topics",
]

_DAY_MS: Final = 86_400_000
_READY_S: Final = 20.0
_REPLICATION: Final = "kafka.topics.replication"
_MISSING: Final = "missing"
"""With this word the only difference of a topic begins that is not there."""


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """What a topic should be; `partitions` None: any number. `why` says what each setting is for.

    `least` are settings that must be at least so large (-1: without bound), `exact` such that must
    be just so.
    """

    name: str
    partitions: int | None
    exact: Mapping[str, str] = field(default_factory=dict)
    least: Mapping[str, int] = field(default_factory=dict)
    why: Mapping[str, str] = field(default_factory=dict)


def planned_topics(clients: KafkaClients) -> tuple[TopicPlan, ...]:
    """Give what the four topics should be."""
    kept = {"cleanup.policy": "delete", "message.timestamp.type": "LogAppendTime"}
    timed = "the broker's clock says when a record came, and how long it is kept"
    why = {
        "message.timestamp.type": timed,
        "partitions": "its order must be total",
        "cleanup.policy": "compaction would take records out of its order",
        "max.message.bytes": "a part of a tally has up to 8,192 rows",
    }
    large = {"max.message.bytes": LARGEST_MESSAGE}
    return (
        TopicPlan(
            clients.input_topic, None, kept, {"retention.ms": _DAY_MS},
            {
                "cleanup.policy": "compaction would take events away before they are counted",
                "message.timestamp.type": timed,
                "retention.ms": "ingest must be able to be away for a day",
            },
        ),
        TopicPlan(
            clients.log_topic, 1, kept, large | {"retention.ms": 3 * _DAY_MS},
            why | {"retention.ms": "a detector must find what comes behind its snapshot"},
        ),
        TopicPlan(
            clients.listings_topic, 1, kept, large | {"retention.ms": 15 * _DAY_MS},
            why | {"retention.ms": "an empty store is rebuilt from it, the longest listing too"},
        ),
        TopicPlan(
            clients.dead_letters_topic, None, {}, {"retention.ms": _DAY_MS},
            {"retention.ms": "somebody should have the time to look at what could not be read"},
        ),
    )  # fmt: skip


async def check_topics(clients: KafkaClients) -> list[tuple[str, list[str]]]:
    """Compare each topic with its plan; give its name and what differs, in words.

    Raises:
        BrokerError: no broker answers, or it does not tell.
    """
    async with clients.started(clients.admin()) as admin:
        with clients.speaking():
            too_many = await _too_many_copies(admin, clients)
            return [
                (plan.name, await _differences(admin, plan, too_many))
                for plan in planned_topics(clients)
            ]


def is_missing(differences: list[str]) -> bool:
    """Tell by its differences whether a topic is not there."""
    return differences[:1] != [] and differences[0].startswith(_MISSING)


def cannot_be_made(differences: list[str]) -> bool:
    """Tell by its differences whether settings must be changed before a topic can be made."""
    return is_missing(differences) and _REPLICATION in differences[0]


async def create_topics(clients: KafkaClients, input_partitions: int) -> list[tuple[str, str]]:
    """Create the missing topics; give each name and what was done.

    Raises:
        BrokerError: one could not be made.
        SettingsError: one is missing, and the cluster has fewer brokers than copies are wanted.
    """
    done: list[tuple[str, str]] = []
    async with clients.started(clients.admin()) as admin:
        with clients.speaking():
            there = set(await admin.list_topics())
            for plan in planned_topics(clients):
                if plan.name in there:
                    done.append((plan.name, "is there"))
                    continue
                count = plan.partitions or (
                    input_partitions if plan.name == clients.input_topic else 1
                )
                settings = dict(plan.exact) | {k: str(v) for k, v in plan.least.items()}
                new = NewTopic(plan.name, count, clients.kafka.topics.replication, None, settings)
                answer = await admin.create_topics([new])
                ((_, code, said),) = answer.topic_errors
                if code == TopicAlreadyExistsError.errno:  # another made it, or we did, unanswered
                    done.append((plan.name, "is there"))
                    continue
                if code == InvalidReplicationFactorError.errno:
                    brokers = await _too_many_copies(admin, clients)
                    raise SettingsError([(_REPLICATION, brokers or str(said))])
                if code:
                    words = f"topic {plan.name} could not be made: {for_code(code).__name__}"
                    raise BrokerError(clients.bootstrap, f"{words} ({said})")
                done.append((plan.name, f"made with {count} partition{'s'[: count != 1]}"))
            await _wait_for_leaders(admin, [name for name, _ in done])
    return done


async def _too_many_copies(admin: AIOKafkaAdminClient, clients: KafkaClients) -> str:
    """Say that the cluster has fewer brokers than copies are wanted; empty where it has enough."""
    wanted = clients.kafka.topics.replication
    brokers = len((await admin.describe_cluster())["brokers"])
    if wanted <= brokers:
        return ""
    has = f"the cluster has {brokers} broker{'s'[: brokers != 1]}"
    return f"got {wanted}, must be at most {brokers} ({has}): set it to {brokers}, or add brokers"


async def _wait_for_leaders(admin: AIOKafkaAdminClient, names: list[str]) -> None:
    async with asyncio.timeout(_READY_S):
        while True:
            found = await admin.describe_topics(names)
            leaders = [p["leader"] for topic in found for p in topic["partitions"]]
            if leaders and min(leaders) >= 0 and not any(topic["error_code"] for topic in found):
                return
            await asyncio.sleep(0.1)


async def _differences(
    admin: AIOKafkaAdminClient, plan: TopicPlan, too_many_copies: str
) -> list[str]:
    if plan.name not in set(await admin.list_topics()):
        if too_many_copies:
            return [f"{_MISSING}, and cannot be made: {_REPLICATION}: {too_many_copies}"]
        return [f"{_MISSING}: floodwatch topics create makes it"]
    (topic,) = await admin.describe_topics([plan.name])
    out: list[str] = []
    count = len(topic["partitions"])
    if plan.partitions is not None and count != plan.partitions:
        why = plan.why.get("partitions", "")
        out.append(f"partitions: has {count}, want {plan.partitions} ({why}): recreate it")
    now = await _settings(admin, plan.name)
    for name, wanted in plan.exact.items():
        if now.get(name, wanted) != wanted:
            out.append(f"{name}: is {now[name]}, want {wanted} ({plan.why.get(name, '')})")
    for name, least in plan.least.items():
        value = int(now.get(name, least))
        if -1 < value < least:
            out.append(f"{name}: is {value:,}, want {least:,} or more ({plan.why.get(name, '')})")
    return out


async def _settings(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    out: dict[str, str] = {}
    for answer in await admin.describe_configs([resource]):
        for _, _, _, _, entries in answer.resources:
            out |= {entry[0]: entry[1] for entry in entries}
    return out
