"""A topic as files: what analysts get is what a replay takes and writes."""

from pathlib import Path
from random import Random

import orjson
import pytest

from detector.events.interning import KeyTables
from detector.log.records import Partitions, encode_record
from pipelines.cli.dumping import dump_topic, with_received
from pipelines.cli.guarded import UsageError
from pipelines.kafka.appender import Appender
from pipelines.kafka.clients import MissingTopicError
from tests.live.commands import commanded
from tests.live.site import Site, traffic


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_every_topic_can_be_dumped_by_the_command_and_the_log_replayed(
    kafka: str, tmp_path: Path
) -> None:
    with Site.of_seed(tmp_path / "site", kafka, 3) as site:
        await site.prepare()
        site.run()
        await site.feed(
            traffic(Random(3), site.partitions, minutes=15, floods=3), more=[b"rubbish"]
        )
        await site.end()
        await site.settled()
        assert site.members[0].stop() == 0
        folder = site.folder
        for what, target in (
            ("log", "dumped.log"), ("listings", "decisions.ndjson"),
            ("input", "input"), ("dead-letters", "dead.ndjson"),
        ):  # fmt: skip
            done = commanded(site, "topics", "dump", what, target, "--config", site.config())
            assert (done.code, done.out) == (0, ""), done.err
            assert "records of " in done.err
        replayed = commanded(
            site, "replay", "dumped.log", "--policy", "policy.toml", "--store", "memory:",
            "--decisions", "again.ndjson",
        )  # fmt: skip
        assert replayed.code == 0
        decisions = (folder / "decisions.ndjson").read_bytes()
        assert decisions
        assert (folder / "again.ndjson").read_bytes() == decisions
        letters = (folder / "dead.ndjson").read_bytes().split(b"\n")[:-1]
        dead = [orjson.loads(letter) for letter in letters]
        assert [one["excerpt"] for one in dead if one["reason"] != "future"] == ["rubbish"]
        assert names_in(folder / "input") == [
            f"partition-0000{number}.ndjson" for number in range(site.partitions)
        ]
        again = commanded(site, "topics", "dump", "input", "input", "--config", site.config())
        assert (again.code, again.out) == (2, "")
        assert "want a new or empty folder" in again.err
        wrong = commanded(site, "topics", "dump", "lists", "x", "--config", site.config())
        assert (wrong.code, "must be one of log, listings, input" in wrong.err) == (2, True)


async def test_what_a_dump_cannot_hold_is_said_and_nothing_is_half_written(
    kafka: str, tmp_path: Path
) -> None:
    """Two changes under one number, a number left out, a topic that is missing."""
    with Site.of_seed(tmp_path / "site", kafka, 4) as site:
        target = tmp_path / "out"
        with pytest.raises(MissingTopicError, match="topics check"):
            await dump_topic(site.clients, "listings", target)
        await site.prepare()
        lines = [b'{"v":1,"seq":%d,"a":%d}' % pair for pair in ((1, 1), (1, 1), (1, 2), (3, 1))]
        async with Appender(site.clients) as appender:
            for line in lines:
                await appender.append(site.clients.listings_topic, line)
            await appender.append(site.clients.log_topic, encode_record(Partitions(3), KeyTables()))
            await appender.settle()
        done = await dump_topic(site.clients, "listings", target)
        assert target.read_bytes() == lines[0] + b"\n" + lines[3] + b"\n"
        assert [problem.partition(": ")[2][:40] for problem in done.problems] == [
            "change 1 occurs twice with different con",
            "change 3 found where change 2 is expecte",
        ]
        async with Appender(site.clients) as appender:
            await appender.append(site.clients.listings_topic, b'{"v":2}')
            await appender.settle()
        target.write_bytes(b"before")
        with pytest.raises(Exception, match="want version 1"):
            await dump_topic(site.clients, "listings", target)
        assert target.read_bytes() == b"before"
        with pytest.raises(UsageError):
            await dump_topic(site.clients, "input", tmp_path)
        assert names_in(tmp_path) == ["out", "site"]


@pytest.mark.parametrize(
    ("record", "dumped"),
    [
        (b"{}", b'{"received":7}'),
        (b'{"a": "{"} ', b'{"a": "{","received":7}'),
        (b'{"heartbeat":1}', b'{"heartbeat":1,"received":7}'),
        (b'{"received":null}', b'{"received":null,"received":7}'),
        (b'{"received":5}', b'{"received":5}'),
        (b"[1]", b"[1]"),
        (b"", b""),
        (b'{"a":', b'{"a":'),
        (b'{"x":' + b"[" * 9_999 + b"]" * 9_999 + b"}", None),
    ],
)
def test_an_object_without_a_time_of_receipt_gets_that_of_kafka(
    record: bytes, dumped: bytes | None
) -> None:
    assert with_received(record, 7) == (record if dumped is None else dumped)
