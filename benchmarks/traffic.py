"""The traffic that speed and memory are measured on: one hour of mail, seeded, with floods in it.

3 M events of about 292 B: zipf over 200 k addresses (13 % IPv6), 5 k ASNs, 100 k mailboxes; and in
the last three quarters of the hour floods from 1,500 botnet addresses. Beside the events, the ASN
table and the raw Postfix log of a sixth of the background and of all the flood mail. The files lie
in build/bench and are made once. `flooded` traffic has a quarter of its messages in floods, each
from 600 addresses of many networks, and no Postfix log.

    .venv/dev/bin/python -m benchmarks.traffic [--events N] [--folder DIR] [--again]
"""

import argparse
import json
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FOLDER",
    "START_MS",
    "Columns",
    "Floods",
    "Traffic",
    "World",
    "ensure",
    "floods",
    "in_log_order",
    "json_lines",
    "ordinary",
]

FOLDER = Path("build/bench")
START_MS = 1_772_524_800_000  # 2026-03-03T08:00:00Z
HOUR_MS = 3_600_000
SHARDS = 6
FLOOD_MESSAGES = 3_000
FLOODED_SHARE, FLOODED_SOURCES = 0.25, 600
_CHUNK = 100_000
_FIRST_ASN = 4_200_000_000
_TLDS = ("example", "test", "invalid")
_WORDS = (
    "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "iris", "juniper",
    "kestrel", "lotus", "maple", "north", "opal", "pine", "quartz", "river", "sage", "tundra",
)  # fmt: skip
# action, cause, share of the background
_OUTCOMES = (
    ("accept", None, 0.80), ("reject", "unknown_user", 0.05), ("reject", "blocklist", 0.03),
    ("reject", "content", 0.02), ("defer", "other", 0.06), ("defer", "rate", 0.02),
    ("discard", None, 0.02),
)  # fmt: skip
_REPLIES = {
    "unknown_user": "550 5.1.1 <{to}>: Recipient address rejected: User unknown in mailbox table",
    "blocklist": "554 5.7.1 Service unavailable; Client host [{ip}] blocked using zen.dnsbl.test",
    "content": "554 5.7.1 <{to}>: Recipient address rejected: Message content rejected",
    "other": "450 4.2.0 <{to}>: Recipient address rejected: Greylisted, try again later",
    "rate": "450 4.7.1 <{to}>: Recipient address rejected: Rate limit exceeded, slow down",
}


@dataclass(frozen=True, slots=True)
class Traffic:
    """Where the files lie, and what is in them."""

    events: int
    log_lines: int
    victims: list[str]
    sources: list[str]
    events_path: Path
    log_path: Path
    asn_path: Path


class World:
    """Addresses, ASNs and names; number `n` of each is the same in every run of a seed."""

    def __init__(self, rng: np.random.Generator, addresses: int, asns: int, mailboxes: int) -> None:
        self.rng = rng
        nets = rng.permutation(71 * 256)[:asns]
        self.nets = [(20 + int(net) // 256, int(net) % 256) for net in nets]
        self.ips: list[str] = []
        self.asns: list[int] = []
        self.add_addresses(addresses, v6_share=0.13)
        per_domain = np.clip(rng.lognormal(1.5, 1.1, mailboxes), 1, 400).astype(np.int64)
        domains: list[str] = []
        for number, size in enumerate(per_domain.tolist()):
            domains += repeat(_domain(number), size)
            if len(domains) >= mailboxes:
                break
        self.mailboxes = [f"{_name(i)}@{domains[i]}" for i in range(mailboxes)]
        self.senders = [f"{_name(i * 7)}{i % 97}@{_domain(i * 13)}" for i in range(40_000)]

    def add_addresses(self, count: int, v6_share: float) -> list[int]:
        """Add addresses in random networks; give their numbers."""
        first = len(self.ips)
        share = np.sort(self.rng.random(len(self.nets)) ** 3)
        picked = self.rng.choice(len(self.nets), count, p=share / share.sum()).tolist()
        six = (self.rng.random(count) < v6_share).tolist()
        low = self.rng.integers(0, 2**32, count).tolist()
        for asn, is_six, bits in zip(picked, six, low, strict=True):
            self.asns.append(_FIRST_ASN + asn)
            if is_six:
                self.ips.append(f"2a0{asn % 8}:{asn:x}:{bits >> 16 or 1:x}:{bits & 0xFFFF:x}::25")
            else:
                a, b = self.nets[asn]
                self.ips.append(f"{a}.{b}.{bits >> 8 & 255}.{bits & 255}")
        return list(range(first, first + count))

    def asn_table(self) -> str:
        """Write the networks in the layout of ip2asn."""
        lines = []
        for asn, (a, b) in enumerate(self.nets):
            owner = f"{_FIRST_ASN + asn}\tZZ\tNET-{asn}\n"
            lines.append(f"{a}.{b}.0.0\t{a}.{b}.255.255\t{owner}")
            net = f"2a0{asn % 8}:{asn:x}"
            lines.append(f"{net}::\t{net}:ffff:ffff:ffff:ffff:ffff:ffff\t{owner}")
        return "".join(lines)


@dataclass(frozen=True, slots=True)
class Columns:
    """Events by number of address, mailbox, sender (-1: null) and outcome; all of one length."""

    time_ms: NDArray[np.int64]
    ip: NDArray[np.int64]
    mailbox: NDArray[np.int64]
    sender: NDArray[np.int64]
    outcome: NDArray[np.int64]
    is_flood: NDArray[np.bool_]

    def take(self, rows: NDArray[np.generic]) -> "Columns":
        """Select rows."""
        return Columns(
            self.time_ms[rows], self.ip[rows], self.mailbox[rows],
            self.sender[rows], self.outcome[rows], self.is_flood[rows],
        )  # fmt: skip

    def behind(self, *before: "Columns") -> "Columns":
        """Put other events before these."""
        parts = (*before, self)
        return Columns(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("time_ms", "ip", "mailbox", "sender", "outcome", "is_flood")
            )
        )


@dataclass(frozen=True, slots=True)
class Floods:
    """Flood mail, and who sent it to whom."""

    columns: Columns
    victims: list[int]
    sources: list[int]


def _name(number: int) -> str:
    first, last = _WORDS[number % 20], _WORDS[number // 20 % 20]
    return f"{first}.{last}{number // 400 or ''}"


def _domain(number: int) -> str:
    name = f"{_WORDS[number // 20 % 20]}-{_WORDS[number % 20]}"
    return f"{name}{number // 400 or ''}.{_TLDS[number % 3]}"


def ordinary(world: World, rng: np.random.Generator, count: int) -> Columns:
    """Ordinary mail: a few addresses send most of it, mailboxes get a few messages each."""
    addresses, mailboxes = len(world.ips), len(world.mailboxes)
    rank = 1.0 / np.arange(1, addresses + 1)
    popularity = rng.lognormal(0.0, 0.5, mailboxes)
    sender = rng.integers(0, len(world.senders), count)
    sender[rng.random(count) < 0.02] = -1
    return Columns(
        START_MS + rng.integers(0, HOUR_MS, count),
        rng.permutation(addresses)[rng.choice(addresses, count, p=rank / rank.sum())],
        rng.choice(mailboxes, count, p=popularity / popularity.sum()),
        sender,
        rng.choice(len(_OUTCOMES), count, p=[share for _, _, share in _OUTCOMES]),
        np.zeros(count, np.bool_),
    )


def floods(world: World, rng: np.random.Generator, count: int = 10, sources: int = 150) -> Floods:
    """Botnets of fresh addresses: each one floods one mailbox for ten minutes, 300 a minute."""
    parts: list[Columns] = []
    victims = rng.choice(len(world.mailboxes), count, replace=False).tolist()
    everyone: list[int] = []
    for number, victim in enumerate(victims):
        mine = world.add_addresses(sources, v6_share=0.3)
        everyone += mine
        size = FLOOD_MESSAGES
        begin = START_MS + HOUR_MS // 4 + number * (HOUR_MS * 3 // 5) // count
        parts.append(
            Columns(
                begin + rng.integers(0, 600_000, size),
                rng.choice(np.array(mine), size),
                np.full(size, victim),
                rng.integers(0, len(world.senders), size),
                np.zeros(size, np.int64),
                np.ones(size, np.bool_),
            )
        )
    return Floods(parts[-1].behind(*parts[:-1]), victims, everyone)


def in_log_order(events: Columns, rng: np.random.Generator) -> Columns:
    """Put events in log order: nearly that of time, one in a thousand up to half a minute late."""
    delay = rng.integers(0, 900, events.time_ms.size)
    late = rng.random(delay.size) < 0.001
    delay[late] += rng.integers(3_000, 30_000, int(late.sum()))
    return events.take(np.argsort(events.time_ms + delay, kind="stable"))


def _texts(time_ms: NDArray[np.int64]) -> list[str]:
    return [str(text) for text in np.datetime_as_string(time_ms.astype("M8[ms]"))]


def json_lines(world: World, events: Columns) -> list[str]:
    """Write events as the contract has them."""
    endings = [
        f'"action":"{action}",' + (f'"cause":"{cause}",' if cause else "")
        for action, cause, _ in _OUTCOMES
    ]
    ips, asns, mailboxes, senders = world.ips, world.asns, world.mailboxes, world.senders
    return [
        f'{{"time":"{time}Z","client_ip":"{ips[ip]}",{endings[outcome]}"recipient":"{mailboxes[to]}",'
        f'"sender":"{senders[sender] if sender >= 0 else ""}","host":"mx{ip & 3}.fw.example",'
        f'"asn":{asns[ip]},"helo":"m{ip % 89}.as{asns[ip] % 10_000}.test",'
        f'"queue_id":"4jY{ip:06x}{to:06X}","size":{2_000 + ip * to % 60_000}}}\n'
        for time, ip, to, sender, outcome in zip(
            _texts(events.time_ms), events.ip.tolist(), events.mailbox.tolist(),
            events.sender.tolist(), events.outcome.tolist(), strict=True,
        )
    ]  # fmt: skip


def log_lines(world: World, events: Columns, first: int) -> list[str]:
    """Write events as Postfix would log them, sorted by time; queue ids count from `first`."""
    moments = {ms: _texts(events.time_ms + ms) for ms in (-5, 0, 1, 2, 9, 80, 81)}
    queued = " (queue active)"
    delivered = (
        "relay=store.fw.example[private/lmtp], delay=0.09, delays=0.07/0.01/0/0, dsn=2.0.0,"
        " status=sent (250 2.0.0 Saved)"
    )
    out: list[str] = []
    for number, (ip, to, sender, outcome) in enumerate(
        zip(
            events.ip.tolist(), events.mailbox.tolist(), events.sender.tolist(),
            events.outcome.tolist(), strict=True,
        )
    ):  # fmt: skip
        address, mailbox = world.ips[ip], world.mailboxes[to]
        mail_from = world.senders[sender] if sender >= 0 else ""
        action, cause, _ = _OUTCOMES[outcome]
        name = f"mail{ip % 89}.as{world.asns[ip] % 10_000}.test" if ip % 3 else "unknown"
        client = f"{name}[{address}]"
        head = {ms: f"{texts[number]}000+00:00 mx1 postfix/" for ms, texts in moments.items()}
        smtpd = f"smtpd[{2_000 + ip % 40}]: "
        out.append(f"{head[-5]}{smtpd}connect from {client}\n")
        fields = f"from=<{mail_from}> to=<{mailbox}> proto=ESMTP helo=<{name}>"
        if cause:
            reply = _REPLIES[cause].format(to=mailbox, ip=address)
            out.append(f"{head[0]}{smtpd}NOQUEUE: reject: RCPT from {client}: {reply}; {fields}\n")
        elif action == "discard":
            reply = f"<{mailbox}>: Recipient address triggers DISCARD action"
            out.append(f"{head[0]}{smtpd}NOQUEUE: discard: RCPT from {client}: {reply}; {fields}\n")
        else:
            mail = f"{first + number:011X}"
            out += (
                f"{head[0]}{smtpd}{mail}: client={client}\n",
                f"{head[1]}cleanup[1901]: {mail}: message-id=<{mail}.{ip}@{name}>\n",
                f"{head[2]}qmgr[1800]: {mail}: from=<{mail_from}>, size=2310, nrcpt=1{queued}\n",
                f"{head[80]}lmtp[1950]: {mail}: to=<{mailbox}>, {delivered}\n",
                f"{head[81]}qmgr[1800]: {mail}: removed\n",
            )
        counts = "ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5"
        out.append(f"{head[9]}{smtpd}disconnect from {client} {counts}\n")
    out.sort()
    return out


def make(folder: Path, events: int, seed: int, *, flooded: bool = False) -> Traffic:
    """Write the files of one seed; `flooded` traffic has an empty Postfix log."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    world = World(rng, addresses=200_000, asns=5_000, mailboxes=100_000)
    if flooded:
        many = max(int(events * FLOODED_SHARE / FLOOD_MESSAGES), 1)
        flood = floods(world, rng, many, FLOODED_SOURCES)
    else:
        flood = floods(world, rng)
    mail = ordinary(world, rng, events - flood.columns.time_ms.size)
    columns = in_log_order(flood.columns.behind(mail), rng)
    paths = (folder / "events.ndjson", folder / "mail.log", folder / "asn.tsv")
    lines_written = 0
    with paths[0].open("w") as lines, paths[1].open("w") as log:
        for start in range(0, events, _CHUNK):
            chunk = columns.take(np.arange(start, min(start + _CHUNK, events)))
            lines.writelines(json_lines(world, chunk))
            if flooded:
                continue
            logged = chunk.take(chunk.is_flood | (np.arange(chunk.time_ms.size) % SHARDS == 0))
            written = log_lines(world, logged, start + 0x10000000)
            lines_written += len(written)
            log.writelines(written)
    paths[2].write_text(world.asn_table())
    victims = [world.mailboxes[i] for i in flood.victims]
    return Traffic(events, lines_written, victims, [world.ips[i] for i in flood.sources], *paths)


def ensure(
    folder: Path = FOLDER, events: int = 3_000_000, seed: int = 1, *, flooded: bool = False
) -> Traffic:
    """Give the traffic, making it when this folder holds no such traffic yet."""
    note = folder / "traffic.json"
    want = {"events": events, "seed": seed, "version": 1} | ({"flooded": 1} if flooded else {})
    if note.exists():
        found = json.loads(note.read_text())
        if found.pop("made") == want:
            paths = [Path(found.pop(name)) for name in ("events_path", "log_path", "asn_path")]
            return Traffic(**found, events_path=paths[0], log_path=paths[1], asn_path=paths[2])
    traffic = make(folder, events, seed, flooded=flooded)
    note.write_text(json.dumps({"made": want, **asdict(traffic)}, default=str))
    return traffic


def main() -> None:
    """Make the traffic and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--events", type=int, default=3_000_000)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    traffic = ensure(options.folder, options.events, options.seed)
    size = traffic.events_path.stat().st_size
    print(f"{traffic.events:,} events, {size / traffic.events:.0f} B each: {traffic.events_path}")
    size = traffic.log_path.stat().st_size
    print(f"{traffic.log_lines:,} lines, {size / traffic.log_lines:.0f} B each: {traffic.log_path}")
    print(f"floods: {len(traffic.victims)} victims, {len(traffic.sources):,} sources")


if __name__ == "__main__":
    main()
