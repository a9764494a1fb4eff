"""What a live run is given wrongly: a clear message, the right exit code, no harm done."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from random import Random

import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from detector.events.interning import KeyTables
from detector.log.records import (
    AllowlistChange,
    AsnTableChange,
    LogRecord,
    Partitions,
    PolicyChange,
    encode_record,
)
from detector.policy.settings import Policy
from pipelines.kafka.appender import Appender
from pipelines.snapshot_file import previous_path
from tests.live.commands import commanded
from tests.live.site import Member, Site, traffic
from tests.services.kafka_broker import LOGINS, Broker
from tests.services.kafka_topics import create_topics
from tests.services.ports import free_ports

PATIENCE = {"FLOODWATCH__KAFKA__PATIENCE_S": "1"}


async def refused(member: Member, code: int, *said: str, timeout_s: float = 90) -> None:
    """It ends by itself with this code; the last thing it says is why, without a traceback."""
    got = await asyncio.to_thread(member.process.wait, timeout_s)
    assert "Traceback" not in member.said, member.said
    first, *more = member.said.rpartition("\nfloodwatch: ")[2].rstrip("\n").split("\n")
    assert all(line.startswith("  ") for line in more), member.said
    assert all(words in first for words in said), member.said
    assert got == code


async def append(site: Site, topic: str, *values: bytes) -> None:
    async with Appender(site.clients) as appender:
        for value in values:
            await appender.append(topic, value)
        await appender.settle()


async def append_log(site: Site, *records: LogRecord) -> None:
    values = [encode_record(record, KeyTables()) for record in records]
    await append(site, site.clients.log_topic, *values)


async def ends(site: Site, topic: str) -> dict[int, int]:
    async with site.clients.started(site.clients.consumer()) as consumer:
        found = consumer.partitions_for_topic(topic) or range(
            1 if topic != site.clients.input_topic else site.partitions
        )
        places = [TopicPartition(topic, number) for number in found]
        return {p.partition: end for p, end in (await consumer.end_offsets(places)).items()}


async def forget(site: Site, topic: str, partition: int, before: int) -> None:
    """Let retention pass all records before an offset."""
    async with site.clients.started(site.clients.admin()) as admin:
        place = TopicPartition(topic, partition)
        await admin.delete_records({place: RecordsToDelete(before_offset=before)})


async def lived(site: Site, seed: int = 1, minutes: int = 10) -> None:
    """Run all roles on some traffic, and stop them in order."""
    await site.prepare()
    member = site.run()
    await site.feed(traffic(Random(seed), site.partitions, minutes=minutes, floods=3))
    await site.end()
    await site.settled(90)
    assert await asyncio.to_thread(member.stop) == 0


async def test_no_broker_is_told_once_patience_is_over(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with Site(tmp_path / "site", f"127.0.0.1:{port}", Policy()) as site:
        said = (f"Kafka at 127.0.0.1:{port}: no broker answers: check kafka.bootstrap",)
        await refused(site.run(**PATIENCE), 1, *said)
        done = commanded(site, "topics", "check", "--config", site.config())
        assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
        assert said[0] in done.err


async def test_a_wrong_password_is_told_apart_from_no_broker(
    kafka_broker: Broker, tmp_path: Path
) -> None:
    login = LOGINS["SCRAM-SHA-256"]
    word = tmp_path / "word"
    word.write_text("not it\n")
    signing = {
        "FLOODWATCH__KAFKA__SECURITY": "sasl_plaintext",
        "FLOODWATCH__KAFKA__SASL__MECHANISM": login.mechanism,
        "FLOODWATCH__KAFKA__SASL__USER": login.user,
        "FLOODWATCH__KAFKA__SASL__PASSWORD_FILE": str(word),
    }
    with Site(tmp_path / "site", kafka_broker.sasl_bootstrap, Policy()) as site:
        said = f"{kafka_broker.sasl_bootstrap} takes connections and refused the login: check"
        member = site.run(**PATIENCE, **signing)
        await refused(member, 1, said, "user, password")
        assert "not it" not in member.said
        done = commanded(site, "topics", "check", "--config", site.config(), **signing)
        assert (done.code, done.out, said in done.err) == (1, "", True)
        word.write_text(f"{login.word}\n")
        done = commanded(site, "topics", "check", "--config", site.config(), **signing)
        assert (done.code, done.err) == (1, "")
        assert "missing: floodwatch topics create makes it" in done.out
        word.unlink()
        await refused(site.run(**signing), 2, "kafka.sasl.password_file: ", "cannot be read")


@pytest.mark.parametrize("role", ["ingest", "detect", "publish"])
async def test_missing_topics_end_each_role_at_once(kafka: str, tmp_path: Path, role: str) -> None:
    with Site(tmp_path / "site", kafka, Policy()) as site:
        await refused(site.run(role), 1, "topic ", ": missing: see floodwatch topics check")


async def test_a_log_of_two_partitions_is_no_log(kafka: str, tmp_path: Path) -> None:
    with Site(tmp_path / "site", kafka, Policy()) as site:
        await create_topics(kafka, {site.clients.log_topic: 2})
        await site.prepare()
        await refused(site.run("detect"), 1, f"{site.clients.log_topic}: has 2 partitions, want 1")
        done = commanded(site, "topics", "check", "--config", site.config())
        assert (done.code, "partitions: has 2, want 1" in done.out) == (1, True)


async def test_a_log_record_of_another_version_stops_the_detector(
    kafka: str, tmp_path: Path
) -> None:
    with Site(tmp_path / "site", kafka, Policy()) as site:
        await site.prepare()
        await append_log(site, Partitions(3))
        await append(site, site.clients.log_topic, b"\x02anything")
        await refused(
            site.run("detect"), 1, "log record: got version 2 at offset 1, want version 1",
            "use the version of floodwatch that wrote it",
        )  # fmt: skip


@pytest.mark.parametrize("role", ["ingest", "detect", "publish"])
async def test_a_listings_message_of_another_version_stops_whoever_reads_it(
    kafka: str, tmp_path: Path, role: str
) -> None:
    with Site(tmp_path / "site", kafka, Policy()) as site:
        await site.prepare()
        topic = site.clients.listings_topic
        await append(site, topic, b'{"v":2,"seq":1}')
        await refused(site.run(role), 1, f"{topic}, offset 0: got version 2, want version 1")


async def test_a_torn_snapshot_falls_back_and_a_newer_one_is_refused(
    kafka: str, tmp_path: Path
) -> None:
    """Going on from the one before decides as if nothing had happened."""
    with Site.of_seed(tmp_path / "site", kafka, 5) as site:
        await site.prepare()
        events = traffic(Random(5), site.partitions, minutes=20)
        member, path = site.run(), site.settings.detect.snapshot
        await site.feed(events[: len(events) // 2], over_s=3)
        while not previous_path(path).exists():  # noqa: ASYNC110 - files tell nobody
            await asyncio.sleep(0.1)
        assert await asyncio.to_thread(member.stop) == 0
        path.write_bytes(path.read_bytes()[:-100])
        member = site.run()
        await site.feed(events[len(events) // 2 :])
        await site.end()
        await site.settled(90)
        assert "resumes from the previous snapshot" in member.said
        assert "or damaged" in member.said
        assert await asyncio.to_thread(member.stop) == 0
        assert (await site.verify())["list"]

        head, state = path.read_bytes().split(b"\n", 1)
        magic = b"floodwatch snapshot\n"
        newer = head + b"\n" + magic + (9).to_bytes(4, "little") + state[len(magic) + 4 :]
        previous_path(path).unlink(missing_ok=True)
        path.write_bytes(newer)
        await refused(
            site.run("detect"), 1, "snapshot: ", "got version 9, want version 3",
            "use the version of floodwatch that wrote it",
        )  # fmt: skip
        path.write_bytes(head.replace(b'"v":1', b'"v":2') + b"\n" + state)
        await refused(site.run("detect"), 1, "snapshot: ", "got version 2, want version 1")


async def test_a_detector_of_another_build_names_the_first_difference(
    kafka: str, tmp_path: Path
) -> None:
    with Site.of_seed(tmp_path / "site", kafka, 1) as site:
        await site.prepare()
        topic = site.clients.listings_topic
        await append(site, topic, b'{"v":1,"seq":1,"id":"of another build"}')
        await site.feed(traffic(Random(1), site.partitions, minutes=10, floods=3))
        await site.end()
        await refused(
            site.run("ingest", "detect"), 1, f"{topic}: change 1 stands as ",
            "of another build", ", we decide ", "two builds, policies or ASN tables follow one log",
        )  # fmt: skip


async def test_rubbish_in_place_of_an_asn_table(kafka: str, tmp_path: Path) -> None:
    """Refused at the start; asked for by the log it ends the detector, which names the table."""
    table = tmp_path / "asn.tsv"
    good = "192.0.2.0\t192.0.2.255\t64501\tAA\tOne\n"
    environ = {"FLOODWATCH__DETECT__ASN_TABLES": str(table)}
    with Site.of_seed(tmp_path / "site", kafka, 1) as site:
        await site.prepare()
        table.write_bytes(b"\x00rubbish\n" * 50)
        await refused(site.run("detect", **environ), 2, f"ASN table {table}: ")
        table.write_text(good)
        site.members.clear()
        member = site.run(**environ)
        await site.feed(traffic(Random(1), site.partitions, minutes=3, floods=0))
        await site.end()
        await site.settled(90)
        while not site.settings.detect.snapshot.exists():  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.1)
        table.write_bytes(b"\x00rubbish\n" * 50)
        await append_log(site, AsnTableChange(0, "0" * 64))
        await refused(member, 2, f"ASN table {table}: ")
        table.write_text(good.replace("64501", "64502"))
        await refused(
            site.run("detect", **environ), 1, "snapshot: ", "made with ASN table ",
            "start with the one it was made with",
        )  # fmt: skip


async def test_bad_controls_in_the_log_are_left_out_and_decisions_go_on(
    kafka: str, tmp_path: Path
) -> None:
    """Raw, as `floodwatch control` would never send them; a replay leaves them out as well."""
    with Site.of_seed(tmp_path / "site", kafka, 1) as site:
        await site.prepare()
        other_clock = asdict(site.policy)
        other_clock["clock"]["lateness_s"] += 1
        await append_log(
            site,
            PolicyChange(0, '{"listing":{"standing_listings":0,"x":1}}'),
            PolicyChange(0, "no JSON"),
            PolicyChange(0, orjson.dumps(other_clock).decode()),
            AllowlistChange(0, ("192.0.2.0/24", "nonsense\x1b[2J")),
        )
        member = site.run()
        await site.feed(traffic(Random(1), site.partitions, minutes=15))
        await site.end()
        await site.settled(90)
        assert member.said.count("ignores a control in the log") == 4
        for words in (
            "policy at log offset 0", "listing.standing_listings: got 0", "listing.x: unknown key",
            "policy at log offset 1", "not JSON", "policy at log offset 2: changes [clock]",
            "allowlist at log offset 3", "nonsense", "the active policy stays",
        ):  # fmt: skip
            assert words in member.said, words
        assert "\x1b" not in member.said
        assert (await site.verify())["list"]
        assert await asyncio.to_thread(member.stop) == 0


async def test_a_log_whose_retention_passed_the_snapshot_names_the_gap(
    kafka: str, tmp_path: Path
) -> None:
    with Site.of_seed(tmp_path / "site", kafka, 2) as site:
        await lived(site)
        log = site.clients.log_topic
        end = (await ends(site, log))[0]
        await append_log(site, *[Partitions(site.partitions)] * 10)
        await forget(site, log, 0, end + 5)
        gap = f"records {end} to {end + 4} of partition 0 were deleted by retention (5 "
        await refused(site.run("detect"), 1, f"topic {log}: {gap}")
        done = commanded(site, "check", "--config", site.config())
        assert (done.code, f"snapshot   WRONG  topic {log}: {gap}" in done.out) == (1, True)
        path = site.settings.detect.snapshot
        path.unlink()
        previous_path(path).unlink(missing_ok=True)
        gone = f"records 0 to {end + 4} of partition 0 were deleted by retention"
        await refused(site.run("detect"), 1, f"topic {log}: {gone}")


async def test_a_log_made_anew_is_not_read_with_the_state_of_the_old_one(
    kafka: str, tmp_path: Path
) -> None:
    with Site.of_seed(tmp_path / "site", kafka, 2) as site:
        await lived(site)
        log = site.clients.log_topic
        end = (await ends(site, log))[0]
        async with site.clients.started(site.clients.admin()) as admin:
            await admin.delete_topics([log])
            while log in await admin.list_topics():  # noqa: ASYNC110 - Kafka tells nobody
                await asyncio.sleep(0.1)
        await create_topics(kafka, {log: 1})
        place = f"topic {log}: partition 0 ends at offset 0, but it was read up to {end}"
        said = f"{place}: it was recreated"
        await refused(site.run("detect"), 1, said)


async def test_an_input_whose_retention_passed_the_commit_names_the_gap(
    kafka: str, tmp_path: Path
) -> None:
    with Site.of_seed(tmp_path / "site", kafka, 2) as site:
        await lived(site)
        topic = site.clients.input_topic
        end = (await ends(site, topic))[0]
        await append(site, topic, *[b"{}"] * 10)
        await forget(site, topic, 0, end + 5)
        await refused(
            site.run("ingest"), 1,
            f"topic {topic}: records {end} to {end + 4} of partition 0 were deleted by "
            "retention (5 records): they cannot be counted any more",
        )  # fmt: skip
