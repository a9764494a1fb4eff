"""The examiner: judges cases tick by tick and names the sources that take part in a flood."""

from typing import Final

import numpy as np

from detector.judge.cases import LONG_S, Case, Flood, Part
from detector.judge.concentration import Concentration, bounces, concentrations
from detector.judge.excess import base_limit
from detector.judge.gates import start_cases
from detector.judge.present import Present
from detector.judge.rules import (
    BUSY_LEAST,
    BUSY_SHARE,
    aimed,
    crowds,
    hourly,
    is_calm,
    judge,
    suspects,
    takes_part,
)
from detector.judge.scene import Finding, Limits, Offence, Source, Victim
from detector.memory.normals import PERIOD_S
from detector.memory.relations import mixed_one
from detector.memory.windows import grown
from detector.state import MESSAGES, MINUTE_S, State

__all__ = ["Examiner"]

_SCOPES: Final = {"source_flood": "ip", "asn_flood": "asn", "backscatter": "mailbox"}


class Examiner:
    """Applies the rules to the victims under examination."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._seen: Present | None = None
        self._recent_minute = self._recent_at = -1
        self._recent_counts: tuple[int, int | None] = (-1, None)
        self._recent = np.zeros(0, np.uint32)
        self._busy = 0.0

    def _victim(self, case: Case) -> Victim:
        """Describe a case's victim to the rules."""
        victims = self._state.victims(case.scope)
        slot = case.slot
        normals = self._state.normals(case.scope)
        limits = Limits(
            int(victims.limit_min[slot]), int(victims.limit_10min[slot]),
            int(victims.limit_all_min[slot]), int(victims.limit_all[slot]), normals.normal(slot),
        )  # fmt: skip
        domain = None
        if case.scope == "mailbox":
            domain = int(self._state.domains.hash[self._state.mailboxes.domain[slot]])
        return Victim(int(victims.hash[slot]), domain, limits, int(victims.missed_s[slot]))

    def examine(self, case: Case, touched: dict[int, tuple[int, int]], tick: int) -> list[Offence]:
        """Judge a case at the close of a tick and name the sources that take part."""
        victim: Victim | None = None
        if case.flood is None:
            victim = self._victim(case)
            finding = judge(case, victim, self._state.policy, self._scene(tick))
            if finding is None:
                return []
            flood = self._start_flood(case, finding, tick)
            touched = {row.ip: (row.net, row.group) for row in case.rows if row.ip in flood.parts}
        return self._attribute(case, touched, tick, victim or self._victim(case))

    def is_calm(self, case: Case, tick: int) -> bool:
        """Say whether a case's flood is over at the close of a tick."""
        return is_calm(case, self._victim(case), self._state.policy, self._scene(tick))

    def _start_flood(self, case: Case, finding: Finding, tick: int) -> Flood:
        """Begin a flood with what its window holds."""
        window_s = min(finding.span_s, LONG_S)
        scene = self._scene(tick)
        start = case.onset(window_s, scene.usual_all(case))
        usual, share = finding.normal, scene.share(case, window_s)
        if usual is None and self._state.cold:  # a mailbox as busy as one that is calm again
            rule = self._state.policy.rules.victim_flood
            usual, share = rule.calm_fraction * base_limit(case, rule, LONG_S), 0.0
        elif usual is None:
            usual = self._state.normals(case.scope).usual(case.slot)
        share = max(share, 1.0 / max(scene.active(LONG_S).size, 1))
        expected = self._state.policy.rules.victim_flood.light_factor * usual
        if not self._state.cold:
            every = max(usual, scene.usual_all(case))
            expected = every if case.scope == "domain" else min(expected, every)
        flood = case.flood = Flood(
            start, tick, finding.limit, finding.count, finding.span_s, finding.normal, usual, share,
            expected,
        )  # fmt: skip
        for row in case.rows:
            if row.tick >= start and (row.attempts or row.deferred):
                flood.add(row)
        if case.scope == "mailbox":
            parent = self._state.cases.get(("domain", int(self._state.mailboxes.domain[case.slot])))
            if parent is not None:
                parent.exclude(case.slot)
        return flood

    def _scene(self, tick: int) -> Present:
        if self._seen is None or self._seen.tick != tick:
            self._seen = Present(self._state, tick)
        return self._seen

    def _attribute(
        self, case: Case, touched: dict[int, tuple[int, int]], tick: int, victim: Victim
    ) -> list[Offence]:
        """Name the sources of a flood that take part now; listed ones extend their listing."""
        flood = case.flood
        assert flood is not None  # noqa: S101 - the caller checked
        rule = self._state.policy.rules.victim_flood
        out: list[Offence] = []
        listed: list[int] = []
        aims: set[int] | None = None
        strangers: list[int] = []
        for looked_at in (touched, {}):  # again, if those looked at have just become a crowd
            if flood.strangers == strangers:
                break
            strangers = [*flood.strangers]
            before = flood.crowds
            flood.crowds = crowds(case, flood, rule, tick)
            crowded = any(now and not then for now, then in zip(flood.crowds, before, strict=True))
            found = suspects(flood, looked_at, tick, everybody=crowded)
            for ip in sorted(found, key=self._state.tables.ips.names.__getitem__):
                if ip not in flood.parts:
                    continue
                net, group = flood.parts[ip].net, flood.parts[ip].group
                spared = flood.spared.setdefault(group, {})
                if self._state.listings.is_listed(ip):
                    spared.pop(ip, None)
                    if ip in looked_at:
                        listed.append(ip)
                    continue
                source = self._source(flood.parts[ip], ip, tick)
                relations = self._state.learner.relations
                takes = takes_part(flood, victim, self._state.policy, relations, source, tick)
                if takes and case.scope == "domain":
                    listed_now = self._state.listings.is_listed
                    aims = aimed(case, listed_now, self._scene(tick)) if aims is None else aims
                    takes = ip in aims
                if takes:
                    spared.pop(ip, None)
                    out.append(self._offence(case, flood, ip, net, group))
                else:
                    spared[ip] = (net, group)
        for ip in listed:
            self._state.listings.attempt(ip, flood.parts[ip].last, flood.parts[ip].attempts)
        return out

    def _source(self, part: Part, ip: int, tick: int) -> Source:
        """Describe a source to the rules, with what it sent up to a tick."""
        sources = self._state.sources
        volume, learned = sources.hourly_volume(part.group), int(sources.normal[ip])
        others = learned + self._unlearned(ip, tick) - part.attempts
        key = int(sources.hash[ip])
        return Source(ip, key, part.net, part.group, volume, learned, others, self._busy)

    def _unlearned(self, ip: int, tick: int) -> int:
        """Give a source's messages to anybody up to a tick that no period has learned yet."""
        minute = tick // MINUTE_S * MINUTE_S
        if self._recent_minute != minute:
            self._recent_minute = minute
            first = minute // PERIOD_S * PERIOD_S - PERIOD_S
            counts = (first, self._state.evidence.covers_from)
            if self._recent_counts != counts:
                self._recent_counts = counts
                self._recent[:] = 0
                self._recent_at = first - 1
            self._count_recent(minute - 1)
            everything = int(self._recent.sum(dtype=np.int64))
            everything += int(self._state.sources.normal.sum(dtype=np.int64))
            self._busy = max(BUSY_LEAST, BUSY_SHARE * everything)
        self._count_recent(tick)
        return int(self._recent[ip])

    def _count_recent(self, tick: int) -> None:
        """Count each source's messages from where that ended up to a tick."""
        if tick <= self._recent_at:
            return
        evidence, first = self._state.evidence, self._recent_at + 1
        rows, _ = evidence.between(first, tick + 1)
        self._recent = grown(self._recent, self._state.sources.known.size)
        np.add.at(self._recent, rows.ip.astype(np.intp), evidence.messages(first, tick + 1))
        self._recent_at = tick

    def _offence(self, case: Case, flood: Flood, ip: int, net: int, group: int) -> Offence:
        """Write down why one source is listed."""
        part = flood.parts[ip]
        rules = self._state.policy.rules
        own = flood.groups[group]
        span_min = max(1.0, (part.last - part.first + 1) / 60)
        rule = "victim_flood"
        if rules.source_flood.enabled and part.attempts >= rules.source_flood.per_min * min(
            span_min, 3.0
        ):
            rule = "source_flood"
        elif (
            rules.asn_flood.enabled
            and own >= rules.asn_flood.share * flood.total
            and own > part.attempts
        ):
            rule = "asn_flood"
        if not getattr(rules, rule).enabled:
            rule = "victim_flood"
        evidence: dict[str, object] = {
            "scope": case.scope,
            "victim": self._state.listings.masked(self._state.name(case.scope, case.slot)),
            "window_s": flood.span_s,
            "count": flood.count,
            "limit": flood.limit,
            "normal_10min": None if flood.normal is None else round(flood.normal, 3),
            "found_ms": flood.found * 1000,
            "flood_messages": flood.total,
            "flood_sources": len(flood.parts),
            "flood_networks": len(flood.nets),
            "flood_asns": len(flood.groups),
            "sender_domain_bits": flood.senders.bit_count(),
            "source_messages": part.attempts,
            "network_messages": flood.nets[net],
            "asn_messages": own,
            "timeline_per_min": case.timeline(),
        }
        victims = self._state.victims(case.scope)
        key = mixed_one(int(victims.hash[case.slot]), group)
        relations, missed_s = self._state.learner.relations, int(victims.missed_s[case.slot])
        evidence["known_before"] = relations.known(key)
        evidence["usual_from_asn_10min"] = round(relations.expected(key, LONG_S, missed_s), 3)
        if self._state.evidence.covers_from is not None:
            evidence["covers_from_ms"] = self._state.evidence.covers_from * 1000
        return Offence(ip, part.asn, rule, part.first, part.last, part.attempts, evidence)

    def minute_rules(self, tick: int) -> list[Offence]:
        """Apply the rules that look at whole minutes."""
        out: list[Offence] = []
        backscatter = self._state.policy.rules.backscatter
        if backscatter.enabled:
            for one in bounces(
                backscatter, tick, self._state.evidence, MESSAGES,
                self._state.mailboxes, self._state.listings.forgiven,
            ):  # fmt: skip
                out += self._concentrated("backscatter", one, tick)
        if self._state.cold:
            return out
        for scope in ("mailbox", "domain"):
            out += self._hourly(scope, tick)
        rules = self._state.policy.rules
        for name, rule, models in (
            ("source_flood", rules.source_flood, None),
            ("asn_flood", rules.asn_flood, self._state.learner.groups),
        ):
            if rule.enabled:
                found = concentrations(
                    rule, tick, self._state.evidence, self._state.sources, self._state.mailboxes,
                    self._state.learner.relations, models, self._state.listings.forgiven,
                )  # fmt: skip
                for one in found:
                    out += self._concentrated(name, one, tick)
        return out

    def _hourly(self, scope: str, tick: int) -> list[Offence]:
        """Find floods too even for ten minutes: above the hour's limit, from many networks."""
        if not self._state.policy.rules.victim_flood.enabled:
            return []
        victims = self._state.victims(scope)
        size = len(victims.table)
        over = np.flatnonzero(victims.hour.total[:size] >= np.maximum(victims.limit_hour[:size], 1))
        out: list[Offence] = []
        start = [slot for slot in over.tolist() if (scope, slot) not in self._state.cases]
        if start:
            start_cases(self._state, scope, np.array(start, np.int32), tick + 1)
        for slot in sorted(over.tolist(), key=lambda slot: victims.table.names[slot]):
            case = self._state.cases[scope, slot]
            case.advance(tick)
            if case.flood is not None:
                continue
            count, limit = int(victims.hour.total[slot]), int(victims.limit_hour[slot])
            rule = self._state.policy.rules.victim_flood
            victim = self._victim(case)
            finding = hourly(case, victim, count, limit, rule, self._scene(tick))
            if finding is None:
                continue
            self._start_flood(case, finding, tick)
            touched = {row.ip: (row.net, row.group) for row in case.rows}
            out += self._attribute(case, touched, tick, victim)
        return out

    def _concentrated(self, rule: str, found: Concentration, tick: int) -> list[Offence]:
        """Turn a concentration into offences of the sources that take part."""
        names = self._state.tables.mailboxes.names
        out = []
        for ip in sorted(found.counts, key=lambda slot: self._state.tables.ips.names[slot]):
            if not self._state.sources.known[ip]:
                continue
            learned, sent = int(self._state.sources.normal[ip]), found.counts[ip]
            if sent <= 1 and learned + self._unlearned(ip, tick) - sent >= self._busy:
                continue
            evidence: dict[str, object] = {
                "scope": _SCOPES[rule],
                "victim": self._state.listings.masked(names[found.victims[0]]),
                "victims": [self._state.listings.masked(names[slot]) for slot in found.victims],
                "window_s": found.span_s,
                "count": found.count,
                "limit": found.limit,
                "share": round(found.share, 4),
                "normal_10min": None if found.normal is None else round(found.normal, 3),
                "source_messages": sent,
                "flood_sources": len(found.counts),
            }
            asn = int(self._state.sources.asn(np.array([ip]))[0])
            out.append(Offence(ip, asn, rule, tick - found.span_s + 1, tick, sent, evidence))
        return out

    def forgive(self, ip: int, tick: int) -> None:
        """Let a removed source start anew: nothing up to this tick counts against it."""
        for case in self._state.cases.values():
            case.drop(ip, tick)
            if case.flood is not None:
                case.flood.forget(ip)
