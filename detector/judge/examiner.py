"""The examiner: judges cases tick by tick and names the sources that take part in a flood."""

import math
from collections.abc import Iterable
from typing import Final

from detector.judge.attribution import Crowd, Expected, Source, expected, innocent, is_part
from detector.judge.candidates import earlier_rows, is_forgiven
from detector.judge.cases import Case
from detector.judge.excess import Finding, calm, excess, judge, limit, unlike
from detector.judge.figures import Figures
from detector.judge.floods import ACQUAINTED, FRESH, NOT_MET, STRANGE, Flood, Part
from detector.judge.offences import Offence
from detector.judge.rows import HOUR_S, LONG_S, SHORT_S
from detector.judge.traffic import Traffic
from detector.judge.usual import Usual
from detector.memory.relations import mixed_one
from detector.policy.constants import EACH, PATIENCE
from detector.policy.settings import DAY_S, MINUTE_S
from detector.state import State

__all__ = ["Examiner"]

_RATES_KEPT: Final = 1 << 12


class Examiner:
    """Applies the rule to the victims under examination."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._traffic = Traffic(state)
        self._spoiled: dict[int, Case] = {}

    def examine(self, case: Case, touched: Iterable[int], tick: int) -> list[Offence]:
        """Judge a case at the close of a tick and name the sources that take part."""
        if not self._state.policy.rules.victim_flood.enabled:
            return []
        if case.flood is None:
            if all(case.patience):
                return []
            self._traffic.at(tick)
            finding = judge(self._state, self._traffic, case, tick)
            if finding is None:
                return []
            touched = self._start_flood(case, finding, tick).parts
        return self._attribute(case, touched, tick)

    def take_spoiled(self) -> list[Case]:
        """Give the cases of domains that count mailboxes whose own flood was found, once."""
        spoiled, self._spoiled = [*self._spoiled.values()], {}
        return spoiled

    def _start_flood(self, case: Case, finding: Finding, tick: int) -> Flood:
        """Begin a flood with what the last ten minutes hold."""
        usual = finding.usual
        start = max(tick + 1 - LONG_S, self._state.log_start or 0)
        if finding.span_s == SHORT_S:
            start = max(start, self._onset(case, tick))
        slots = usual.slots if usual.before is not None else 0.0
        self._state.floods_found += 1
        flood = case.flood = Flood(
            start, tick, finding.limit, finding.count, finding.span_s,
            usual.per_slot, case.scope == "domain", slots,
            Figures(self._state.floods_found),
        )  # fmt: skip
        self._state.flooded[case.scope, case.slot] = case
        hashes, stops = self._state.sources.hash, self._state.listings.stops
        if finding.span_s == HOUR_S:  # it was slow: its figures begin with the hour
            for row in earlier_rows(self._state, case, tick + 1 - HOUR_S, start):
                flood.figures.add_before(row, stopped=stops(row.ip, row.tick))
            flood.figures.settle()
        recent = case.recent(LONG_S)
        for row in recent:
            if row.tick >= start and (row.attempts or row.deferred):
                flood.add(row, stopped=stops(row.ip, row.tick))
        for row in recent:  # of those only: they are known by now
            if row.ip in flood.parts and row.tick < tick // MINUTE_S * MINUTE_S:
                flood.parts[row.ip].early += row.all
        if usual.before is not None:
            flood.earlier, flood.before = dict(usual.before), sum(usual.before.values())
            for row in earlier_rows(self._state, case, tick + 1 - HOUR_S, tick + 1):
                if row.all and row.tick < start and not is_forgiven(self._state, row):
                    key = int(hashes[row.ip])
                    flood.earlier[key] = flood.earlier.get(key, 0) + row.all
        flood.lately = case.steps()
        if case.scope == "mailbox":
            domain = int(self._state.mailboxes.domain[case.slot])
            parent = self._state.cases.get(("domain", domain))
            if parent is not None and parent.is_awake:
                self._spoiled[domain] = parent
        return flood

    def _onset(self, case: Case, tick: int) -> int:
        """Give the tick from which a sudden flood shows: minutes with a quarter of its pace."""
        minutes = case.timeline()
        least = max(2.0, max(minutes) / 4)
        back = 1
        while back < len(minutes) and minutes[-1 - back] >= least:
            back += 1
        return tick + 1 - back * SHORT_S

    def _usual(self, case: Case, flood: Flood, tick: int) -> Usual:
        before = None
        if flood.slots or flood.earlier:
            before = flood.earlier, flood.slots, flood.before
        span_s = max(tick + 1 - flood.start, SHORT_S)
        usual = Usual.of(self._state, self._traffic, case, span_s, tick, before)
        if flood.edition != self._state.learner.edition or len(flood.rates) > _RATES_KEPT:
            flood.edition, flood.rates = self._state.learner.edition, {}
        usual.rates = flood.rates
        return usual

    def _attribute(self, case: Case, touched: Iterable[int], tick: int) -> list[Offence]:
        """Name the sources of a flood that take part now; listed ones extend their listing."""
        flood = case.flood
        assert flood is not None  # noqa: S101 - the caller checked
        state, listings = self._state, self._state.listings
        suspects, going_on = [], []
        for ip in set(touched):
            part = flood.parts.get(ip)
            if part is None:
                continue
            if part.kind == NOT_MET:
                self._meet(case, flood, ip, part)
            if listings.is_listed(ip):
                going_on.append((ip, part.last, part.attempts))
                if ip in flood.spared:
                    suspects.append(ip)
            else:
                flood.spared.add(ip)
                suspects.append(ip)
        listings.attempts(going_on)
        grown = flood.total >= (1.0 + PATIENCE) * flood.looked
        if not suspects and not grown:
            return []
        self._traffic.at(tick)
        usual = self._usual(case, flood, tick)
        pace = flood.total * min(1.0, LONG_S / max(1, tick - flood.start + 1))
        press = min(1.0, case.tried_long / pace) if pace else 1.0
        fresh = state.learner.fresh_share()
        rule = state.policy.rules.victim_flood
        to_day = max(1.0, DAY_S / max(LONG_S, tick + 1 - (state.log_start or 0)))
        crowd = Crowd(flood, usual, tick, press, fresh, usual.coming(), rule.surprise, to_day)
        if grown:
            flood.looked = flood.total
            suspects = [*flood.spared]
        out: list[Offence] = []
        for ip in suspects:
            part = flood.parts[ip]
            if listings.is_listed(ip) or tick - part.last >= LONG_S:
                flood.spared.discard(ip)
                continue
            if not part.attempts and not part.deferred:
                continue
            offence = self._judged(case, crowd, ip, part)
            if offence is not None:
                flood.spared.discard(ip)
                out.append(offence)
        return out

    def _meet(self, case: Case, flood: Flood, ip: int, part: Part) -> None:
        """Note what is known of a source at its first judgement."""
        state = self._state
        victim, own = state.victims(case.scope).hash.item(case.slot), state.sources.hash.item(ip)
        if own in flood.earlier or state.learner.relations.known(mixed_one(victim, own)):
            flood.meet(ip, ACQUAINTED)
        else:
            flood.meet(ip, STRANGE if self._others(ip) > part.early else FRESH)

    def _others(self, ip: int) -> int:
        """Give a source's messages to victims that were not flooded, up to this minute."""
        return self._state.sources.normal.item(ip) + self._lately(ip)

    def _lately(self, ip: int) -> int:
        """Give those of them that came in this slot and the one before."""
        return self._state.sources.before.item(ip) + self._state.sources.lately.item(ip)

    def _judged(self, case: Case, crowd: Crowd, ip: int, part: Part) -> Offence | None:
        """Give the offence of a source that takes part, None of one that may be innocent."""
        sources = self._state.sources
        own, lately = sources.hash.item(ip), self._lately(ip)
        mine = round(crowd.usual.rate(own)[0]) if crowd.usual.known else 0
        others = max(0, sources.normal.item(ip) + lately - mine - part.early)
        source = Source(ip, own, part.group, others, max(0, lately - part.early))
        due = expected(crowd, source)
        probability = innocent(crowd, source, part, due)
        rule = self._state.policy.rules.victim_flood
        if not is_part(rule, crowd, source, part, due, probability):
            return None
        return self._offence(case, crowd, source, part, due, probability)

    def _offence(
        self, case: Case, crowd: Crowd, source: Source, part: Part, due: Expected,
        probability: float,
    ) -> Offence:  # fmt: skip
        """Write down why one source is listed: the numbers that decided."""
        if crowd.evidence is None:
            crowd.evidence = self._evidence(case, crowd.flood)
        state, usual = self._state, crowd.usual
        evidence = crowd.evidence | {
            "source_messages": part.attempts,
            "asn_messages": crowd.flood.groups[part.group],
            "innocent": round(probability, 6),
            "expected_from_source": round(due.source, 3),
            "expected_from_asn": round(due.group, 3),
            "messages_to_others": source.others,
            "known_before": state.learner.relations.known(mixed_one(usual.hash, part.group)),
            "usual_from_asn_10min": round(usual.mean(part.group), 3),
            "timeline_per_min": case.timeline(),
        }
        if state.evidence.covers_from is not None:
            evidence["covers_from_ms"] = state.evidence.covers_from * 1000
        return Offence(
            source.ip, part.asn, "victim_flood", part.first, part.last, part.attempts, evidence,
            source.others, max(self._traffic.learned_all, self._traffic.site(HOUR_S)),
            crowd.flood.figures.number,
            state.name("domain", state.domain_of(case.scope, case.slot)),
        )  # fmt: skip

    def _evidence(self, case: Case, flood: Flood) -> dict[str, object]:
        """Write down what its offences say of a flood."""
        if not flood.victim:
            name = self._state.name(case.scope, case.slot)
            flood.victim = self._state.listings.masked(name)
        return {
            "flood": flood.id,
            "scope": case.scope,
            "victim": flood.victim,
            "window_s": flood.span_s,
            "count": flood.count,
            "limit": flood.limit,
            "normal_10min": round(flood.usual, 3),
            "found_ms": flood.found * 1000,
            "flood_messages": flood.total,
            "flood_sources": len(flood.parts),
            "flood_asns": len(flood.groups),
            "sender_domain_bits": flood.senders.bit_count(),
        }

    def is_over(self, case: Case, tick: int) -> bool:
        """Say whether a flood is over: in the last hour little came beyond what is usual.

        Asked at the close of ten minutes; attempts of listed sources count.
        """
        flood = case.flood
        if flood is None:
            return True
        self._traffic.at(tick)
        counts = flood.last_hour(tick)
        rule = self._state.policy.rules.victim_flood
        least = calm(rule, case.scope)
        if sum(counts.values()) < least:
            return True
        usual = self._usual(case, flood, tick)
        if not usual.known:
            return self._has_calmed(case, flood, usual, least)
        now = flood.newest(tick)
        pause = limit(rule, case.scope, LONG_S) * rule.over_fraction
        if excess(self._state, case, usual, LONG_S, now) >= pause:
            return False  # the hour explains more than its parts do
        total = sum(counts.values())
        if excess(self._state, case, usual, HOUR_S, counts) >= least:
            flood.fewest = min(flood.fewest, total) if flood.fewest else total
            return False
        if flood.wide and total < flood.fewest:  # its listed sources may be its correspondents
            return True
        return self._tried_beyond(flood, usual, tick) < least

    def _tried_beyond(self, flood: Flood, usual: Usual, tick: int) -> float:
        """Give what the listed sources of a flood tried in the last hour, beyond their usual.

        A busy hour of the others may explain all that comes, but not what these go on to send.
        """
        stops, hashes = self._state.listings.stops, self._state.sources.hash
        parts, since = flood.parts.items(), tick - HOUR_S
        late = [ip for ip, part in parts if part.last > since and stops(ip, tick)]
        slots = HOUR_S // LONG_S
        due = math.fsum(usual.mean(int(hashes[ip])) * slots for ip in late)
        return flood.stopped_lately(tick) - due

    def _has_calmed(self, case: Case, flood: Flood, usual: Usual, least: int) -> bool:
        """Say whether a flood is over at a victim of which too little is known to explain it.

        Its pace has fallen to that from before, or by half; or, once the log is no longer young,
        what comes from many sources is like what comes to everybody: the mailbox is always busy.
        """
        now = flood.newest(self._traffic.tick)
        pace, paces = sum(now.values()), [sum(counts.values()) for _, counts in flood.lately]
        if pace < max(least / 2, flood.usual, max(paces) / 2):
            return True
        rule = self._state.policy.rules.victim_flood
        young = self._state.young_factor(case.scope, case.slot, self._traffic.tick) > 1.0
        sources = len({row.ip for row in case.recent(LONG_S) if row.attempts})
        if young or pace > 2.0 * EACH * sources:
            return False
        odd = unlike(case, usual, now)
        return odd < limit(rule, case.scope, LONG_S) * rule.over_fraction

    def sources_moved(self) -> None:
        """Count what everybody sends anew: sources are of other groups now."""
        self._traffic = Traffic(self._state)

    def forgive(self, ips: list[int], tick: int) -> None:
        """Let removed sources start anew: nothing up to this tick counts against them."""
        removed = set(ips)
        for case in self._state.cases.values() if removed else ():
            case.drop(removed, tick)
            if case.flood is not None:
                for ip in ips:
                    case.flood.forget(ip)
