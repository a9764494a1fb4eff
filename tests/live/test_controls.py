"""What operators ask through the log: validated before it goes, answered, and in every replay."""

import asyncio
import json
import socket
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from detector.events.interning import KeyTables
from detector.log.records import AllowlistChange, AsnTableChange, Gap, decode_record
from detector.policy.settings import Policy, policy_digest
from pipelines.cli.policies import policy_toml
from pipelines.clock import now_ms
from tests.builders import Event, quick_policy, story
from tests.cli.command_line import Call
from tests.live.commands import Done, commanded
from tests.live.site import Site
from tests.services.kafka_topics import dump

SEED = 3
TEN_MINUTES_MS = 600_000


def patient_policy() -> Policy:
    """A policy under which listings outlive the test, and some are held."""
    policy = quick_policy(Random(SEED), tight=0)
    listing = replace(
        policy.listing, temporary_quiet_s=2_400, standing_quiet_s=2_500, most_quiet_s=2_600,
        standing_removal_quiet_s=60,
    )  # fmt: skip
    return replace(policy, listing=listing, memory=replace(policy.memory, listings=5))


def recent() -> list[Event]:
    """A story that has just ended; whole periods later, so that it comes to much the same."""
    events = story(Random(SEED), 3, minutes=20, floods=4, late=False)
    last_ms = max(event.arrives_ms for event in events)
    shift_ms = (now_ms() - 1_000 - last_ms) // TEN_MINUTES_MS * TEN_MINUTES_MS
    out = []
    for event in events:
        fields = dict(event.fields)
        for name in {"time", "received"} & fields.keys():
            fields[name] += shift_ms
        out.append(Event(event.arrives_ms + shift_ms, event.partition, fields))
    return out


async def log_of(site: Site) -> list[Any]:
    records = await dump(site.bootstrap, site.clients.log_topic)
    return [decode_record(record.value, KeyTables()) for record in records]


async def test_controls_are_acted_on_answered_and_replayed(kafka: str, tmp_path: Path) -> None:
    with Site(tmp_path / "site", kafka, patient_policy()) as site:
        await site.prepare()
        await site.feed(recent())
        site.run(FLOODWATCH__INGEST__HEARTBEAT="write")

        async def control(*words: str, stdin: str = "") -> Done:
            done = await asyncio.to_thread(
                commanded, site, "control", *words, "--config", site.config(), "--wait", "30",
                stdin=stdin,
            )  # fmt: skip
            assert done.err == "", done.err
            return done

        refused = await control("remove", "192.0.2.77", "--json")
        told = json.loads(refused.out)
        assert (refused.code, told["control"], told["read"], told["acted"]) == (
            1, "remove", True, True,
        )  # fmt: skip
        assert [(a["change"], a["request"]) for a in told["answers"]] == [
            ("refuse", told["request"])
        ]
        with site.opened_store() as store:
            listed = [one.subject for one in store.listings(now_ms())]
            held = [one.subject for one in store.held(now_ms())]
        assert len(listed) > 2
        assert held

        done = await control("release", held[0])
        assert (done.code, f"  {held[0]}: release, released by" in done.out) == (0, True), done.out
        done = await control("remove", listed[0])
        assert (done.code, f"  {listed[0]}: remove, removed by" in done.out) == (0, True), done.out
        done = await control("allowlist", "-", stdin=f"# ours\n{listed[1]} # a friend\n")
        assert "allowlist of 1 ranges: record " in done.out
        assert "  active since the close of " in done.out
        assert (await control("purge", "policy=000000000000")).out.endswith("\n  nothing matched\n")
        done = await control("purge", f"policy={policy_digest(site.policy)}", "--json")
        purged = {answer["subject"] for answer in json.loads(done.out)["answers"]}
        assert set(listed[2:]) | {held[0]} <= purged

        newer = replace(site.policy, mode="shadow")
        (site.folder / "newer.toml").write_text("\n".join(policy_toml(newer)) + "\n")
        done = await control("policy", "newer.toml")
        assert f"policy {policy_digest(newer)}: record " in done.out
        assert "  a detector has read it: active from the end of " in done.out
        assert site.members[0].stop() == 0
        changes = await site.verify()
        assert changes["release"] == 1
        with site.opened_store() as store:
            assert not store.listings(now_ms())


def test_what_is_wrong_is_told_at_once_and_nothing_is_sent(
    kafka: str, tmp_path: Path, floodwatch: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "asn.tsv"
    table.write_bytes(b"\x00rubbish\n" * 50)
    monkeypatch.setenv("FLOODWATCH__DETECT__ASN_TABLES", str(table))
    with Site(tmp_path / "site", kafka, Policy()) as site:
        asyncio.run(site.prepare())
        monkeypatch.chdir(site.folder)
        for name, text in (
            ("bad.toml", "[listing]\nstanding_listings = 0\n[ruls]\n"),
            ("clock.toml", "[clock]\nlateness_s = 9\n"),
            ("allow.txt", "192.0.2.0/24\n192.0.2.1/24\n\nfoo\x1b[2J # x\n2001:db8::/32\n"),
        ):
            (site.folder / name).write_text(text)
        refusals: dict[tuple[str, ...], tuple[str, ...]] = {
            ("policy", "bad.toml"): (
                "bad.toml:2 listing.standing_listings: got 0",
                "bad.toml:3 ruls: unknown key, did you mean rules?",
            ),
            ("policy", "clock.toml"): ("clock.toml:2 clock.lateness_s: got 9, must stay 2",),
            ("policy", "gone.toml"): ("gone.toml: no such file",),
            ("allowlist", "allow.txt"): (
                "allow.txt:2 got 192.0.2.1/24, must be a network without host bits: 192.0.2.0/24",
                "allow.txt:4 got foo\\u001b[2J, must be an address or a network",
            ),
            ("allowlist", "gone.txt"): ("gone.txt: cannot be read (No such file",),
            ("asn-table",): ("ASN table ", "asn.tsv: "),
            ("remove", "mail.example"): ("want an IPv4 or IPv6 address",),
            ("release", "192.0.2"): ("want an IPv4 or IPv6 address",),
            ("purge", "rule=victim_flod"): ("rule: got 'victim_flod', did you mean victim_flood?",),
            ("purge", "policy=12"): ("policy: got '12', must be the 12 hex digits",),
            ("purge", "all"): ("got 'all', must be rule=NAME or policy=DIGEST",),
            ("gap", "0", "5", "6"): ("tallies 5 to 6 of partition 0 lost", "say --yes"),
            ("gap", "0", "6", "5", "--yes"): ("LAST: got 5, must be at least FIRST (6)",),
            ("gap", "3", "5", "6", "--yes"): ("PARTITION: got 3, topic ", " has 3 from 0 on"),
        }
        for words, said in refusals.items():
            done = floodwatch("control", *words, "--config", site.config())
            assert (done.code, done.out) == (2, ""), (words, done.err)
            assert all(part in done.err for part in said), done.err
            assert "\x1b" not in done.err
        assert asyncio.run(log_of(site)) == []


async def test_a_control_waits_in_the_log_where_nobody_reads(kafka: str, tmp_path: Path) -> None:
    table = tmp_path / "asn.tsv"
    table.write_text("192.0.2.0\t192.0.2.255\t64501\tAA\tOne\n")
    with Site(tmp_path / "site", kafka, Policy()) as site:
        await site.prepare()
        silent = ("--wait", "0", "--config", site.config())
        done = commanded(
            site, "control", "asn-table", "--json", *silent,
            FLOODWATCH__DETECT__ASN_TABLES=str(table),
        )  # fmt: skip
        assert json.loads(done.out) == {"control": "asn-table", "offset": 0, "request": None}
        done = commanded(site, "control", "gap", "2", "5", "6", "--yes", *silent)
        assert done.out == (
            f"gap of tallies 5 to 6 of partition 2: record 1 of {site.clients.log_topic}\n"
            "  sent; not waiting for an answer (--wait 0)\n"
        )
        done = commanded(
            site, "control", "allowlist", "-", "--wait", "1", "--config", site.config()
        )
        assert "no range at all, which ends the last one" in done.out
        assert "no detector has read it within 1 s\n" in done.out
        assert "no detector has written to the listings lately" in done.out
        assert (done.code, done.out.count("start a detector")) == (1, 1)
        detector = site.run("detect")
        waiting = ("--wait", "30", "--config", site.config(), "--json")
        done = commanded(site, "control", "gap", "2", "7", "8", "--yes", *waiting)
        assert (done.code, json.loads(done.out)["read"]) == (0, True), done.err
        detector.kill()
        done = commanded(
            site, "control", "gap", "2", "9", "9", "--yes", "--wait", "1", "--config", site.config()
        )
        assert done.code == 1
        name = f"detector {socket.gethostname()}:{site.folder / 'snapshot1'}: last heard at 20"
        assert name in done.out, done.out
        assert "up to record 4" in done.out
        asn_table, gap, allowlist, *_ = await log_of(site)
        assert isinstance(asn_table, AsnTableChange)
        assert gap == Gap(2, 5, 6)
        assert isinstance(allowlist, AllowlistChange)
        assert abs(allowlist.time_ms - now_ms()) < 60_000


@pytest.mark.parametrize("words", [("remove", "192.0.2.7"), ("gap", "0", "1", "2", "--yes")])
async def test_a_control_for_an_installation_that_is_not_there_is_refused(
    kafka: str, tmp_path: Path, words: tuple[str, ...]
) -> None:
    with Site(tmp_path / "site", kafka, Policy()) as site:
        done = commanded(site, "control", *words, "--config", site.config())
        assert (done.code, done.out) == (1, ""), done.err
        assert ": missing: see floodwatch topics check" in done.err
