"""`floodwatch check --config`: every problem at once, and what a run would do."""

import asyncio
from pathlib import Path
from random import Random

import orjson
import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from detector.policy.settings import Policy, policy_digest
from pipelines.kafka.topics import create_topics
from tests.cli.command_line import Call, Result
from tests.live.site import Site, traffic
from tests.services.kafka_topics import dump
from tests.services.ports import free_ports


def told(result: Result) -> dict[str, list[str]]:
    """What is said of each part."""
    parts: dict[str, list[str]] = {}
    name = ""
    for line in result.out.rstrip("\n").split("\n"):
        head, _, said = line.partition("  ")
        name = head or name
        parts.setdefault(name, []).append(said.strip())
    return parts


async def dated_by_the_broker(site: Site) -> None:
    """Give the input the setting that it should have, and has not while traffic dates itself."""
    dated = {"message.timestamp.type": "LogAppendTime"}
    async with site.clients.started(site.clients.admin()) as admin:
        topic = ConfigResource(ConfigResourceType.TOPIC, site.clients.input_topic, dated)
        await admin.alter_configs([topic])


def test_a_whole_installation_is_right_and_says_what_it_would_do(
    kafka: str, tmp_path: Path, floodwatch: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Site.of_seed(tmp_path / "site", kafka, 1) as site:
        monkeypatch.chdir(site.folder)
        monkeypatch.setenv("FLOODWATCH__INGEST__HEARTBEAT", "write")
        asyncio.run(lived(site))
        asyncio.run(dated_by_the_broker(site))
        result = floodwatch("check", "--config", site.config(), "--probe")
        assert (result.code, result.err) == (0, ""), result.out
        parts = told(result)
        assert list(parts) == [
            "settings", "policy", "ASN table", "providers", "Kafka", "topics", "heartbeat",
            "snapshot", "store", "webhook", "run",
        ]  # fmt: skip
        assert parts["Kafka"][0].startswith(f"ok  {kafka}: 1 broker of cluster ")
        topics = site.settings.kafka.topics
        assert parts["topics"] == [
            f"ok  {name}"
            for name in (
                topics.input, site.clients.log_topic, site.clients.listings_topic,
                site.clients.dead_letters_topic,
            )
        ]  # fmt: skip
        assert parts["heartbeat"][0].startswith(f"ok  one was written to {topics.input}, part")
        assert "snapshot1: resumes at offset " in parts["snapshot"][0]
        assert parts["snapshot"][0].endswith(" of the log, 0 records before its end")
        assert parts["run"] == [
            f"as ingest, detect, publish, no alert (webhook.url is empty); group {site.name}",
            f"reads {topics.input}, keeps the log in {site.clients.log_topic}, decides into "
            + site.clients.listings_topic,
            f"decides by policy {policy_digest(site.policy)}: published",
        ]
        last = asyncio.run(dump(kafka, topics.input))
        beats = [r for r in last if r.partition == 0 and b"heartbeat" in r.value]
        assert orjson.loads(beats[-1].value)["heartbeat"] > site.end_ms

        (site.folder / "policy.toml").write_text('mode = "shadow"\n')
        result = floodwatch("check", "--config", site.config())
        parts = told(result)
        assert result.code == 0
        assert parts["heartbeat"] == [
            f"not tested: only writing a heartbeat to {topics.input} would show it: use --probe"
        ]
        other = parts["run"][-1]
        assert other.endswith(" differs: `floodwatch control policy` activates it")
        assert parts["run"][-2] == f"decides by policy {policy_digest(site.policy)}: published"


def test_everything_that_is_wrong_is_told_at_once(
    tmp_path: Path, floodwatch: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)
    with Site(tmp_path / "site", f"127.0.0.1:{port}", Policy()) as site:
        monkeypatch.chdir(site.folder)
        config = site.config()
        result = floodwatch("check", "--config", config)
        assert result.code == 1
        (kafka,) = told(result)["Kafka"]
        assert kafka.startswith(f"WRONG  Kafka at 127.0.0.1:{port}: no broker answers: check ")
        assert told(result)["snapshot"][0].endswith(
            ": starts at offset 0 of the log, which was not checked"
        )
        (site.folder / "policy.toml").write_text("[listing]\nstanding_listings = 0\nx = 1\n")
        (site.folder / "secret").write_text("hunter2\n")
        (site.folder / "foreign.db").write_text("no store")
        for name, value in {
            "DETECT__ASN_TABLES": "gone.tsv",
            "DETECT__PROVIDERS": "gone.toml",
            "DETECT__SNAPSHOT": "gone/snapshot",
            "STORE__URL": "sqlite:///foreign.db",
            "WEBHOOK__URL": "https://alerts.example/hook",
            "WEBHOOK__SECRET_FILE": "secret",
            "WEBHOOK__CA_FILE": "gone.pem",
        }.items():
            monkeypatch.setenv(f"FLOODWATCH__{name}", value)
        result = floodwatch("check", "--config", config)
        parts = told(result)
        wrong = {
            name: sum(line.startswith("WRONG") for line in lines) for name, lines in parts.items()
        }
        assert result.code == 2
        assert wrong == {
            "settings": 0, "policy": 2, "ASN table": 1, "providers": 1, "Kafka": 1, "topics": 0,
            "heartbeat": 0, "snapshot": 1, "store": 1, "webhook": 2, "run": 0,
        }  # fmt: skip
        assert parts["run"] == ["would not start: see the lines marked WRONG"]
        assert "hunter2" not in result.out + result.err


def test_before_there_are_topics_the_next_step_is_to_make_them(
    kafka: str, tmp_path: Path, floodwatch: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One broker, and the three copies that are wanted where nothing is said."""
    with Site(tmp_path / "site", kafka, Policy(), replication=3) as site:
        monkeypatch.chdir(site.folder)
        monkeypatch.setenv("FLOODWATCH__INGEST__HEARTBEAT", "write")
        config = site.config()
        wanted = (
            "kafka.topics.replication: got 3, must be at most 1 (the cluster has 1 broker): set it "
            "to 1, or add brokers"
        )
        result = floodwatch("check", "--config", config, "--probe")
        parts = told(result)
        assert result.code == 2
        assert all(
            line.endswith(f"missing, and cannot be made: {wanted}") for line in parts["topics"]
        )
        assert parts["heartbeat"][0].endswith(" is missing: run floodwatch topics create first")
        assert "grant Write" not in result.out
        result = floodwatch("topics", "create", "--config", config)
        assert (result.code, result.out) == (2, "")
        assert wanted in result.err
        monkeypatch.setenv("FLOODWATCH__KAFKA__TOPICS__REPLICATION", "1")
        result = floodwatch("check", "--config", config, "--probe")
        assert (result.code, result.out.count(": missing: floodwatch topics create")) == (1, 4)
        assert floodwatch("topics", "create", "--config", config).code == 0
        assert floodwatch("check", "--config", config, "--probe").code == 0


def test_settings_that_cannot_be_read_and_options_that_contradict(
    tmp_path: Path, floodwatch: Call
) -> None:
    (tmp_path / "live.toml").write_text("[kafka]\nbotstrap = 1\n")
    result = floodwatch("check", "--config", "live.toml")
    assert (result.code, result.out) == (2, "")
    assert "live.toml:2 kafka.botstrap: unknown key, did you mean kafka.bootstrap?" in result.err
    result = floodwatch("check", "--config", "live.toml", "--store", "memory:")
    assert (result.code, "--config already names policy" in result.err) == (2, True)
    result = floodwatch("check", "--probe")
    assert (result.code, "--probe: want --config" in result.err) == (2, True)


async def lived(site: Site) -> None:
    """Run all roles on some traffic, and stop them in order."""
    await site.prepare()
    member = site.run(FLOODWATCH__INGEST__HEARTBEAT="off")
    await site.feed(traffic(Random(1), site.partitions, minutes=6, floods=1))
    await site.end()
    await site.settled(90)
    assert await asyncio.to_thread(member.stop) == 0


async def test_who_makes_the_topics_at_the_same_time_finds_them_there(
    kafka: str, tmp_path: Path
) -> None:
    """None of them is listed yet when all four ask for them: each is made once, and no one fails.

    In a cluster the list may also lag behind a topic that was just made.
    """
    with Site.of_seed(tmp_path / "site", kafka, 1) as site:
        told_each = await asyncio.gather(*(create_topics(site.clients, 2) for _ in range(4)))
    for told_of_topic in zip(*told_each, strict=True):
        assert len({name for name, _ in told_of_topic}) == 1
        made = [said for _, said in told_of_topic if said != "is there"]
        assert len(made) == 1
        assert made[0].startswith("made with ")
