"""The detector: one deterministic state machine over the log; decisions come out.

    log record ─► closing ─► count (all rows, columns) ─► cases (few rows, one by one)
                                                       ─► minute: calm, ends, concentration, learning

Most rows cost a few array operations. Only rows at victims under examination are looked at one by
one. Nothing here depends on batches: between two minutes the coarse counters only grow, so a case
opens in the same minute however the rows arrive, and knows the same ten minutes when it does.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.cases import LONG_S, SHORT_S, Case, CaseRow, Flood
from detector.closing import BEFORE_ALL, Close, LogCloser, PendingControl
from detector.collateral import Collateral
from detector.concentration import Concentration, concentrations
from detector.docket import Docket
from detector.enrich import AsnLookup
from detector.events import OUTBOUND, Outcome
from detector.evidence import EvidenceLog
from detector.interning import KeyTable, KeyTables
from detector.learning import PERIOD_S, Learner
from detector.log import LogRecord
from detector.models.base import Normal, NotReady
from detector.policy import Policy
from detector.providers import ProviderRegistry
from detector.relations import KNOWN, mixed, mixed_one
from detector.rules import (
    Limits,
    Offence,
    Victim,
    allowance,
    hourly,
    is_calm,
    is_light,
    judge,
    suspects,
    takes_part,
)
from detector.tally import Rows, Tally, take_rows
from detector.tracking import Sources, Victims, evictable

__all__ = ["ATTEMPTS", "MESSAGES", "Engine"]

MINUTE_S: Final = 60
IDLE_MINUTES: Final = 25 * 60
"""After so long without a row every window is empty: a day and the hour that is filling."""
_HIGHEST: Final = 16


NO_DOMAIN: Final = "\0"
"""Stands in slot 0, where the rows of evicted mailboxes in the evidence point to."""


def _weights(*outcomes: Outcome) -> NDArray[np.int64]:
    table = np.zeros(_HIGHEST, np.int64)
    table[list(outcomes)] = 1
    return table


MESSAGES: Final = _weights(
    Outcome.ACCEPT, Outcome.DISCARD, Outcome.REJECT_OTHER, Outcome.REJECT_RATE,
    Outcome.REJECT_CONTENT,
)  # fmt: skip
"""Outcomes that can make a flood. Not deferrals (a retry is no new message), not unknown users
(probes make no victim), not blocks (our own listing would prove itself)."""
ATTEMPTS: Final = MESSAGES + _weights(
    Outcome.REJECT_BLOCKLIST, Outcome.DEFER_BLOCKLIST, Outcome.DEFER_RATE, Outcome.DEFER_CONTENT
)
"""Outcomes that show a source taking part in a flood that is already known."""
DEFERRED: Final = _weights(Outcome.DEFER_OTHER)


class Engine:
    """Tallies and controls in, changes out. `lookup` and `providers` name sources."""

    def __init__(
        self, policy: Policy, tables: KeyTables, *,
        lookup: AsnLookup | None = None, providers: ProviderRegistry | None = None,
    ) -> None:  # fmt: skip
        self.policy = policy
        self.tables = tables
        self.lookup = lookup
        self.closer = LogCloser()
        self.sources = Sources(tables.ips)
        self.mailboxes = Victims(tables.mailboxes)
        self.domain_table = KeyTable("domain")
        self.domain_table.slot(NO_DOMAIN)
        self.domains = Victims(self.domain_table)
        self.learner = Learner(policy, self.sources, self.mailboxes, self.domains)
        self.evidence = EvidenceLog(policy.memory.evidence_rows)
        self.collateral = Collateral(policy.guard)
        self.docket = Docket(policy, self.sources, self.collateral, providers)
        self.cases: dict[tuple[str, int], Case] = {}
        self.observed = 0
        self.log_start: int | None = None
        self.last_rows_at = BEFORE_ALL
        """The last close at which a row counted."""
        self.cold = True
        """The log has just begun: nothing is known of anybody."""
        self._seen: _Scene | None = None
        self.outbound: dict[int, list[int]] = {}
        """By ASN group: outbound messages of ours, and how many that provider refused."""

    # -- following the log ---------------------------------------------------------------------

    def accept(self, records: Iterable[tuple[int, LogRecord]]) -> list[dict[str, Any]]:
        """Take the next records of the log with their offsets; give the changes that follow.

        Tallies that come together are closed together, which is faster and changes nothing.
        """
        for offset, record in records:
            if self.closer.stands_alone(record):
                self._close_due()
            self.closer.take(record, offset)
            if not isinstance(record, Tally):
                self._close_due()
        self._close_due()
        out = self.docket.changes
        self.docket.changes = []
        return out

    def _close_due(self) -> None:
        while (close := self.closer.close()) is not None:
            self._close(close)

    def _close(self, close: Close) -> None:
        """Close ticks `first..last`, minute by minute and stopping at each control."""
        if self.log_start is None:
            self.log_start = close.first
            self._begin_minute(close.first // MINUTE_S)
        self._base = (close.first - 1, self.observed, close.unobserved == 0)
        stops = [max(close.first, item.control.time_ms // 1000) for item in close.controls]
        tick, row = close.first, 0
        while tick <= close.last:
            last = min([close.last, tick // MINUTE_S * MINUTE_S + MINUTE_S - 1])
            upto = int(np.searchsorted(close.at, last, side="right"))
            due = tuple(
                item for item, stop in zip(close.controls, stops, strict=True) if tick <= stop <= last
            )
            if upto == row and not due and self._is_idle(tick):
                tick = self._skip(tick, close, row, stops)
                continue
            rows = take_rows(close.rows, slice(row, upto))
            self._segment(rows, close.at[row:upto], tick, last, due)
            tick, row = last + 1, upto
        self.observed = self._observed(close.last)

    def _observed(self, tick: int) -> int:
        """Give how many ticks have been observed when `tick` closes."""
        before, observed, whole = self._base
        return observed + (tick - before if whole else 0)

    def _is_idle(self, tick: int) -> bool:
        """Say whether a minute without rows would change nothing: nothing came for a whole day.

        Follows from the rows alone, so that it is the same in whatever batches they come.
        """
        return not self.cases and tick // MINUTE_S - self.last_rows_at // MINUTE_S > IDLE_MINUTES

    def _skip(self, tick: int, close: Close, row: int, stops: Sequence[int]) -> int:
        """Jump over idle minutes to the next row, control or listing that falls due."""
        ahead = [close.last + 1, *(stop for stop in stops if stop >= tick)]
        if row < close.at.size:
            ahead.append(int(close.at[row]))
        due = self.docket.lifecycle.next_due()
        target = min(ahead)
        if due is not None and max(due, tick) < target:
            minute_end = max(due, tick) // MINUTE_S * MINUTE_S + MINUTE_S - 1
            if minute_end <= close.last:
                self._begin_minute(minute_end // MINUTE_S)
                self._tick(minute_end, [], [], (), minute_ends=True)
                return minute_end + 1
        self._begin_minute(target // MINUTE_S)
        return target

    # -- one segment: a minute, or a part of one -----------------------------------------------

    def _segment(
        self, rows: Rows, at: NDArray[np.int64], first: int, last: int,
        due: tuple[PendingControl, ...],
    ) -> None:  # fmt: skip
        """Close the ticks of one segment: columns first, then what must be seen tick by tick."""
        hot: list[tuple[int, CaseRow, Case]] = []
        connects: list[tuple[int, int, int]] = []
        if len(rows):
            hot, connects = self._count(rows, at, first)
        minute_ends = last % MINUTE_S == MINUTE_S - 1
        control_ticks = {max(first, item.control.time_ms // 1000) for item in due}
        ticks = {tick for tick, _, _ in hot} | {tick for tick, _, _ in connects} | control_ticks
        if minute_ends:
            ticks.add(last)
        if not ticks:
            return
        by_tick: dict[int, list[tuple[int, CaseRow, Case]]] = {}
        for item in hot:
            by_tick.setdefault(item[0], []).append(item)
        connects_by_tick: dict[int, list[tuple[int, int, int]]] = {}
        for one in connects:
            connects_by_tick.setdefault(one[0], []).append(one)
        for tick in sorted(ticks):
            controls = tuple(
                item for item in due if max(first, item.control.time_ms // 1000) == tick
            )
            self._tick(
                tick, by_tick.get(tick, []), connects_by_tick.get(tick, []), controls,
                minute_ends=minute_ends and tick == last,
            )  # fmt: skip

    def _count(
        self, rows: Rows, at: NDArray[np.int64], first: int
    ) -> tuple[list[tuple[int, CaseRow, Case]], list[tuple[int, int, int]]]:
        """Count a segment's rows in columns; give those at victims under examination."""
        self._admit(rows, at)
        self.last_rows_at = int(at[-1])
        self.sources.last_at[rows.ip] = at
        plain = rows.outcome < OUTBOUND
        connects: list[tuple[int, int, int]] = []
        if not plain.all() or (rows.rcpt < 0).any():
            self._count_outbound(rows, ~plain)
            connect = plain & (rows.rcpt < 0)
            connects = self._connects(rows, at, connect)
            index = np.flatnonzero(plain & (rows.rcpt >= 0))
            rows, at = take_rows(rows, index), at[index]
            if not len(rows):
                return [], connects
        mailboxes, domains, sources = self.mailboxes, self.domains, self.sources
        clean = rows.count - rows.nulls
        every = clean * MESSAGES[rows.outcome]
        domain = mailboxes.domain[rows.rcpt]
        group = sources.group_hash[rows.ip]
        relations = self.learner.relations
        known = relations.counts(mixed(mailboxes.hash[rows.rcpt], group)) >= KNOWN
        known_domain = relations.counts(mixed(domains.hash[domain], group)) >= KNOWN
        new, new_domain = np.where(known, 0, every), np.where(known_domain, 0, every)
        sources.volume.add(sources.place[rows.ip], every, rows.tick // PERIOD_S)
        minute, step, hour = rows.tick // MINUTE_S, rows.tick // PERIOD_S, rows.tick // 3600
        for victims, slots, fresh in (
            (mailboxes, rows.rcpt, new), (domains, domain, new_domain),
        ):  # fmt: skip
            victims.last_at[slots] = at
            victims.all.add(slots, every, minute)
            victims.new.add(slots, fresh, minute)
            victims.hour.add(slots, fresh, step)
            victims.day.add(slots, every, hour)
        self._open_cases("mailbox", rows.rcpt, first)
        self._open_cases("domain", domain, first)
        self.evidence.append(rows, at)
        picked = np.flatnonzero(mailboxes.hot[rows.rcpt] | domains.hot[domain])
        if not picked.size:
            return [], connects
        return self._hot_rows(
            take_rows(rows, picked), at[picked], domain[picked], new[picked], new_domain[picked]
        ), connects

    def _admit(self, rows: Rows, at: NDArray[np.int64]) -> None:
        """Begin with sources, mailboxes and domains that were not known."""
        for tracked in (self.sources, self.mailboxes):
            tracked.ensure()
        new = self.sources.newcomers(rows.ip)
        if new.size:
            said = np.full(new.size, -1, np.int64)
            if (rows.asn >= 0).any():
                place = np.full(self.sources.known.size, -1, np.int64)
                place[new] = np.arange(new.size)
                mine = np.flatnonzero(place[rows.ip] >= 0)
                first = np.full(new.size, 2**62, np.int64)
                np.minimum.at(first, place[rows.ip[mine]], at[mine])
                mine = mine[at[mine] == first[place[rows.ip[mine]]]]
                np.maximum.at(said, place[rows.ip[mine]], rows.asn[mine])
            self.sources.admit(new, said, self.lookup)
            self.docket.ensure(self.sources.known.size)
        rcpt = rows.rcpt[rows.rcpt >= 0]
        new = self.mailboxes.newcomers(rcpt)
        if new.size:
            names = self.tables.mailboxes.names
            texts = [names[slot].rpartition("@")[2] for slot in new.tolist()]
            domain = self.domain_table.slots(texts, len(texts))
            self.domains.ensure()
            fresh = self.domains.newcomers(domain)
            self.domains.admit(fresh, self.learner.domain_normals.base)
            self.mailboxes.admit(new, self.learner.mailbox_normals.base)
            self.mailboxes.domain[new] = domain

    def _count_outbound(self, rows: Rows, outbound: NDArray[np.bool_]) -> None:
        """Count what we sent, by the provider it went to (never a reason to list)."""
        index = np.flatnonzero(outbound)
        groups = self.sources.group[rows.ip[index]].tolist()
        accepted = ((rows.outcome[index] & 15) == Outcome.ACCEPT).tolist()
        for group, count, good in zip(groups, rows.count[index].tolist(), accepted, strict=True):
            tally = self.outbound.setdefault(group, [0, 0])
            tally[0] += count
            tally[1] += 0 if good else count

    def _connects(
        self, rows: Rows, at: NDArray[np.int64], connect: NDArray[np.bool_]
    ) -> list[tuple[int, int, int]]:
        """Give (close, ip slot, attempts) of attempts that named no recipient."""
        index = np.flatnonzero(connect)
        return list(
            zip(at[index].tolist(), rows.ip[index].tolist(), rows.count[index].tolist(), strict=True)
        )

    # -- cases ---------------------------------------------------------------------------------

    def _victims(self, scope: str) -> Victims:
        return self.mailboxes if scope == "mailbox" else self.domains

    def _open_cases(self, scope: str, slots: NDArray[np.int32], first: int) -> None:
        """Open a case for each victim whose counters could mean a flood."""
        victims = self._victims(scope)
        gate = victims.new.total[slots] >= victims.limit_10min[slots]
        gate |= victims.new.newest(slots) >= victims.limit_min[slots]
        gate |= victims.all.total[slots] >= victims.limit_all[slots]
        gate |= victims.all.newest(slots) >= victims.limit_all_min[slots]
        gate &= ~victims.hot[slots]
        if not gate.any():
            return
        self._start_cases(scope, np.unique(slots[gate]), first)

    def _start_cases(self, scope: str, slots: NDArray[np.int32], first: int) -> None:
        """Open cases and feed them what the evidence log holds from before tick `first`."""
        victims = self._victims(scope)
        victims.hot[slots] = True
        memory = self._memory_s()
        fresh = np.zeros(victims.hot.size, np.bool_)
        fresh[slots] = True
        for slot in slots.tolist():
            case = Case(scope, slot, memory)
            case.advance(first - 1)
            self.cases[scope, slot] = case
        rows, at = self.evidence.between(first - memory, first)
        owner = rows.rcpt if scope == "mailbox" else self.mailboxes.domain[rows.rcpt]
        index = np.flatnonzero(fresh[owner] & (rows.tick > first - 1 - memory))
        if not index.size:
            return
        picked = Rows(*(c[index] if c.size == len(rows) else c for c in rows.columns()))  # type: ignore[arg-type]
        domain = self.mailboxes.domain[picked.rcpt]
        group = self.sources.group_hash[picked.ip]
        every = (picked.count - picked.nulls) * MESSAGES[picked.outcome]
        victim = self.mailboxes.hash[picked.rcpt] if scope == "mailbox" else self.domains.hash[domain]
        known = self.learner.relations.counts(mixed(victim, group)) >= KNOWN
        new = np.where(known, 0, every)
        for row, own, fresh_count in zip(
            self._case_rows(picked), owner[index].tolist(), new.tolist(), strict=True
        ):
            row.new = fresh_count
            if self._is_forgiven(row) or (scope == "domain" and self._has_own_flood(row.mailbox)):
                continue
            self.cases[scope, own].add(row)

    def _memory_s(self) -> int:
        """Give how far back a case opened now must know: in the cold start the whole log."""
        return max(self.policy.baseline.cold_start_s, LONG_S) if self.cold else LONG_S

    def _case_rows(self, rows: Rows) -> list[CaseRow]:
        clean = (rows.count - rows.nulls).astype(np.int64)
        return [
            CaseRow(*values)
            for values in zip(
                rows.tick.tolist(), rows.ip.tolist(),
                self.sources.net_hash[rows.ip].tolist(), self.sources.group_hash[rows.ip].tolist(),
                rows.rcpt.tolist(), [0] * len(rows),
                (clean * MESSAGES[rows.outcome]).tolist(),
                (clean * ATTEMPTS[rows.outcome]).tolist(),
                (clean * DEFERRED[rows.outcome]).tolist(),
                rows.senders.tolist(),
                strict=True,
            )
        ]  # fmt: skip

    def _hot_rows(
        self, rows: Rows, at: NDArray[np.int64], domain: NDArray[np.int32],
        new: NDArray[np.int64], new_domain: NDArray[np.int64],
    ) -> list[tuple[int, CaseRow, Case]]:  # fmt: skip
        """Turn rows at victims under examination into (close, row, case)."""
        out: list[tuple[int, CaseRow, Case]] = []
        for columns, scope, owners, fresh in (
            (self.mailboxes.hot[rows.rcpt], "mailbox", rows.rcpt, new),
            (self.domains.hot[domain], "domain", domain, new_domain),
        ):
            index = np.flatnonzero(columns)
            if not index.size:
                continue
            made = self._case_rows(take_rows(rows, index))
            for row, tick, own, count in zip(
                made, at[index].tolist(), owners[index].tolist(), fresh[index].tolist(), strict=True
            ):
                row.new = count
                out.append((tick, row, self.cases[scope, own]))
        return out

    def _is_forgiven(self, row: CaseRow) -> bool:
        """Say whether a row is from before its source's removal and counts nothing against it."""
        removed = self.docket.forgiven.get(row.ip)
        return removed is not None and row.tick <= removed

    # -- one close -----------------------------------------------------------------------------

    def _tick(
        self, tick: int, hot: list[tuple[int, CaseRow, Case]],
        connects: list[tuple[int, int, int]], controls: tuple[PendingControl, ...],
        *, minute_ends: bool,
    ) -> None:  # fmt: skip
        """Close one tick: allowlist, then offences, then ends and removals."""
        docket, observed = self.docket, self._observed(tick)
        self.collateral.observed_s = observed
        docket.begin(tick, observed, self.policy.clock.lateness_s)
        docket.allow(controls)
        touched: dict[tuple[str, int], dict[int, tuple[int, int]]] = {}
        for _, row, case in hot:
            if self._is_forgiven(row):
                continue
            case.advance(tick)
            if case.scope == "domain" and self._has_own_flood(row.mailbox):
                continue
            if not case.add(row):
                continue
            touched.setdefault((case.scope, case.slot), {})[row.ip] = (row.net, row.group)
        offences: list[Offence] = []
        order = sorted(touched, key=lambda key: (key[0] == "domain", self._name(key)))
        for key in order:
            offences += self._examine(self.cases[key], touched[key], tick)
        for _, ip, count in connects:
            docket.connect(ip, tick, count)
        if minute_ends:
            offences += self._minute_rules(tick)
        docket.offences(offences)
        if minute_ends:
            docket.ends()
        for ip in docket.answer(controls):
            self._forgive(ip, tick)
        self._apply_changes(controls, tick)
        if minute_ends:
            self._end_minute(tick)

    def _name(self, key: tuple[str, int]) -> str:
        return self._victims(key[0]).table.names[key[1]]

    def _has_own_flood(self, mailbox: int) -> bool:
        case = self.cases.get(("mailbox", mailbox))
        return case is not None and case.flood is not None

    def _victim(self, case: Case) -> Victim:
        """Describe a case's victim to the rules."""
        victims = self._victims(case.scope)
        slot = case.slot
        learner = self.learner
        normals = learner.mailbox_normals if case.scope == "mailbox" else learner.domain_normals
        limits = Limits(
            int(victims.limit_min[slot]), int(victims.limit_10min[slot]),
            int(victims.limit_hour[slot]), int(victims.limit_all_min[slot]),
            int(victims.limit_all[slot]), normals.normal(slot),
        )  # fmt: skip
        domain = None
        if case.scope == "mailbox":
            domain = int(self.domains.hash[self.mailboxes.domain[slot]])
        return Victim(int(victims.hash[slot]), domain, limits)

    def _examine(
        self, case: Case, touched: dict[int, tuple[int, int]], tick: int
    ) -> list[Offence]:
        """Judge a case at the close of a tick and name the sources that take part."""
        victim: Victim | None = None
        if case.flood is None:
            victim = self._victim(case)
            finding = judge(case, victim, self.policy, self._scene(tick))
            if finding is None:
                return []
            self._start_flood(case, finding.span_s, finding.count, finding.limit, finding.normal, tick)
            assert case.flood is not None  # noqa: S101 - just started
            touched = {row.ip: (row.net, row.group) for row in case.rows if row.ip in case.flood.parts}
        return self._attribute(case, touched, tick, victim or self._victim(case))

    def _start_flood(
        self, case: Case, span_s: int, count: int, limit: int, normal: float | None, tick: int
    ) -> None:
        """Begin a flood with what its window holds."""
        start = case.onset(min(span_s, LONG_S), self._usual_all(case))
        case.flood = Flood(
            start, tick, tick, limit, count, span_s, normal,
            self._usual_strangers(case) if normal is None else normal,
            self.usual_share(case, min(span_s, LONG_S), tick),
        )  # fmt: skip
        for row in case.rows:
            if row.tick >= start and (row.attempts or row.deferred):
                case.flood.add(row)
        if case.scope == "mailbox":
            parent = self.cases.get(("domain", int(self.mailboxes.domain[case.slot])))
            if parent is not None:
                parent.exclude(case.slot)

    def _usual_all(self, case: Case) -> float:
        """Give what a victim usually gets in ten minutes."""
        learner = self.learner
        normals = learner.mailbox_normals if case.scope == "mailbox" else learner.domain_normals
        model = normals.models.get(case.slot)
        answer = model[1].normal() if model is not None else None
        return answer.mean if isinstance(answer, Normal) else normals.usual(case.slot)

    def _usual_strangers(self, case: Case) -> float:
        """Give at most what strangers usually send a victim without a baseline of its own."""
        learner = self.learner
        normals = learner.mailbox_normals if case.scope == "mailbox" else learner.domain_normals
        return 0.0 if self.cold else normals.usual(case.slot)

    def _scene(self, tick: int) -> "_Scene":
        if self._seen is None or self._seen.tick != tick:
            self._seen = _Scene(self, tick)
        return self._seen

    def usual_share(self, case: Case, span_s: int, tick: int) -> float:
        """Give a victim's usual share of all mail, from before the last `span_s` seconds."""
        learner = self.learner
        if self.cold and self.log_start is not None:
            rows, _ = self.evidence.between(self.log_start, tick + 1 - span_s)
            everything = int(((rows.count - rows.nulls) * MESSAGES[rows.outcome]).sum())
            own = case.all_memory - case.total(span_s, strangers=False)
            return own / everything if everything else 0.0
        every = learner.volume.normal()
        if isinstance(every, NotReady) or every.mean < 1.0:
            return 0.0
        normals = learner.mailbox_normals if case.scope == "mailbox" else learner.domain_normals
        usual = normals.usual(case.slot)
        model = normals.models.get(case.slot)
        answer = model[1].normal() if model is not None else None
        if isinstance(answer, Normal):
            usual = answer.mean
        return max(usual, 0.0) / every.mean

    def _attribute(
        self, case: Case, touched: dict[int, tuple[int, int]], tick: int, victim: Victim
    ) -> list[Offence]:
        """Name the sources of a flood that take part now; listed ones extend their listing."""
        flood = case.flood
        assert flood is not None  # noqa: S101 - the caller checked
        rule = self.policy.rules.victim_flood
        flood.pressed = tick
        was_light = flood.light
        flood.light = is_light(case, flood, rule, tick)
        out: list[Offence] = []
        listed: list[int] = []
        for ip, (net, group) in suspects(
            flood, touched, everybody=flood.light and not was_light
        ).items():
            if ip not in flood.parts:
                continue
            spared = flood.spared.setdefault(group, {})
            if self.docket.is_listed(ip):
                spared.pop(ip, None)
                if ip in touched:
                    listed.append(ip)
                continue
            if not takes_part(
                flood, victim, self.policy, self.learner.relations, (ip, net, group),
                self.sources.hourly_volume(ip), int(self.sources.normal[ip]), tick,
            ):  # fmt: skip
                spared[ip] = (net, group)
                continue
            spared.pop(ip, None)
            out.append(self._offence(case, flood, ip, net, group))
        for ip in sorted(listed, key=self.tables.ips.names.__getitem__):
            self.docket.attempt(ip, flood.parts[ip].last)
        return out

    def _offence(self, case: Case, flood: Flood, ip: int, net: int, group: int) -> Offence:
        """Write down why one source is listed."""
        part = flood.parts[ip]
        rules = self.policy.rules
        asns = len(flood.groups)
        own = flood.groups[group]
        span_min = max(1.0, (part.last - part.first + 1) / 60)
        rule = "victim_flood"
        if rules.source_flood.enabled and part.attempts >= rules.source_flood.per_min * min(
            span_min, 3.0
        ):
            rule = "source_flood"
        elif rules.asn_flood.enabled and own >= rules.asn_flood.share * flood.total and own > part.attempts:
            rule = "asn_flood"
        if not getattr(rules, rule).enabled:
            rule = "victim_flood"
        evidence: dict[str, object] = {
            "scope": case.scope,
            "victim": self.docket.masked(self._name((case.scope, case.slot))),
            "window_s": flood.span_s,
            "count": flood.count,
            "limit": flood.limit,
            "normal_10min": None if flood.normal is None else round(flood.normal, 3),
            "found_ms": flood.found * 1000,
            "flood_messages": flood.total,
            "flood_sources": len(flood.parts),
            "flood_networks": len(flood.nets),
            "flood_asns": asns,
            "sender_domain_bits": flood.senders.bit_count(),
            "source_messages": part.attempts,
            "network_messages": flood.nets[net],
            "asn_messages": own,
            "known_before": False,
            "timeline_per_min": case.timeline(),
        }
        victim = int(self._victims(case.scope).hash[case.slot])
        usual = self.learner.relations.expected
        evidence["known_before"] = self.learner.relations.known(mixed_one(victim, group))
        evidence["usual_from_asn_10min"] = round(usual(mixed_one(victim, group), LONG_S), 3)
        if self.evidence.covers_from is not None:
            evidence["covers_from_ms"] = self.evidence.covers_from * 1000
        return Offence(ip, rule, part.first, part.last, evidence)

    # -- once a minute -------------------------------------------------------------------------

    def _minute_rules(self, tick: int) -> list[Offence]:
        """Apply the rules that look at whole minutes."""
        if self.cold:
            return []
        out: list[Offence] = []
        for scope in ("mailbox", "domain"):
            out += self._hourly(scope, tick)
        rules = self.policy.rules
        for name, rule, models in (
            ("source_flood", rules.source_flood, None),
            ("asn_flood", rules.asn_flood, self.learner.groups),
        ):
            if rule.enabled:
                found = concentrations(
                    rule, tick, self.evidence, MESSAGES, self.sources, self.mailboxes,
                    self.learner.relations, models, self.docket.forgiven,
                )  # fmt: skip
                for one in found:
                    out += self._concentrated(name, one, tick)
        return out

    def _hourly(self, scope: str, tick: int) -> list[Offence]:
        """Find floods too even for ten minutes: above the hour's limit, from many networks."""
        if not self.policy.rules.victim_flood.enabled:
            return []
        victims = self._victims(scope)
        size = len(victims.table)
        over = np.flatnonzero(victims.hour.total[:size] >= np.maximum(victims.limit_hour[:size], 1))
        out: list[Offence] = []
        for slot in sorted(over.tolist(), key=lambda slot: victims.table.names[slot]):
            key = (scope, slot)
            if key not in self.cases:
                self._start_cases(scope, np.array([slot], np.int32), tick + 1)
            case = self.cases[key]
            case.advance(tick)
            if case.flood is not None:
                continue
            count, limit = int(victims.hour.total[slot]), int(victims.limit_hour[slot])
            rule = self.policy.rules.victim_flood
            victim = self._victim(case)
            if not hourly(case, victim, count, limit, rule, self._scene(tick)):
                continue
            self._start_flood(case, 3600, count, limit, victim.limits.normal_10min, tick)
            assert case.flood is not None  # noqa: S101 - just started
            touched = {row.ip: (row.net, row.group) for row in case.rows}
            out += self._attribute(case, touched, tick, victim)
        return out

    def _concentrated(self, rule: str, found: Concentration, tick: int) -> list[Offence]:
        """Turn a concentration into offences of the sources that take part."""
        names = self.tables.mailboxes.names
        out = []
        for ip in sorted(found.counts, key=lambda slot: self.tables.ips.names[slot]):
            evidence: dict[str, object] = {
                "scope": "ip" if rule == "source_flood" else "asn",
                "victim": self.docket.masked(names[found.victims[0]]),
                "victims": [self.docket.masked(names[slot]) for slot in found.victims],
                "window_s": found.span_s,
                "count": found.count,
                "limit": found.limit,
                "share": round(found.share, 4),
                "normal_10min": None if found.normal is None else round(found.normal, 3),
                "source_messages": found.counts[ip],
                "flood_sources": len(found.counts),
            }
            out.append(Offence(ip, rule, tick - found.span_s + 1, tick, evidence))
        return out

    def _forgive(self, ip: int, tick: int) -> None:
        """Let a removed source start anew: nothing up to this tick counts against it."""
        net, group = int(self.sources.net_hash[ip]), int(self.sources.group_hash[ip])
        for case in self.cases.values():
            case.drop(ip, tick)
            if case.flood is not None:
                case.flood.forget(ip, net, group)

    def _apply_changes(self, controls: tuple[PendingControl, ...], tick: int) -> None:
        """Take a new policy or ASN table into force (the runner has loaded it)."""

    def _end_minute(self, tick: int) -> None:
        """Close calm cases, learn at the end of a period, bound the memory, set new limits."""
        assert self.log_start is not None  # noqa: S101 - set by the first close
        memory = max(self.policy.baseline.cold_start_s, LONG_S)
        covered = self.evidence.covers_from
        torn = covered is not None and covered > max(tick + 1 - memory, self.log_start)
        for key in list(self.cases):
            case = self.cases[key]
            case.advance(tick)
            victims = self._victims(case.scope)
            if case.flood is not None and is_calm(case, self.policy) and (
                tick - case.flood.found >= LONG_S
            ):
                case.flood = None
                victims.hour.clear(np.array([case.slot]))
            if case.flood is None:
                slot = case.slot
                could = (
                    victims.new.total[slot] >= victims.limit_10min[slot]
                    or victims.all.total[slot] >= victims.limit_all[slot]
                )
                if torn or not could:
                    del self.cases[key]
                    victims.hot[slot] = False
        if (tick + 1) % PERIOD_S == 0:
            frozen = tuple(
                {case.slot for case in self.cases.values() if case.scope == scope and case.flood}
                for scope in ("mailbox", "domain")
            )
            self.learner.period(
                tick, self.log_start, self.evidence, (frozen[0], frozen[1]),
                self.docket.listed, MESSAGES,
            )  # fmt: skip
            self.collateral.total = int(self.sources.normal.sum(dtype=np.int64))
        if (tick + 1) % 86_400 == 0:
            self.collateral.fade(self.sources.normal)
            self.docket.lifecycle.fade(tick)
        self.learner.relations.decay(tick // 86_400)
        reach = max(memory, 2 * PERIOD_S, PERIOD_S + self.policy.relations.learn_delay_s)
        self.evidence.trim(tick + 1 - reach)
        self.docket.forgive_until(tick - memory)
        self._evict()
        self._begin_minute(tick // MINUTE_S + 1)

    def _begin_minute(self, minute: int) -> None:
        """Move the rings to a minute and set its limits."""
        for victims in (self.mailboxes, self.domains):
            victims.all.advance(minute)
            victims.new.advance(minute)
            victims.hour.advance(minute * MINUTE_S // PERIOD_S)
            victims.day.advance(minute // 60)
        self.sources.begin_minute(minute * MINUTE_S // PERIOD_S)
        assert self.log_start is not None  # noqa: S101 - set by the first close
        elapsed = minute * MINUTE_S - self.log_start
        self.cold = elapsed < self.policy.baseline.cold_start_s
        for normals in (self.learner.mailbox_normals, self.learner.domain_normals):
            if self.cold:
                normals.set_cold_limits(max(elapsed, 1))
            else:
                normals.end_cold()
                normals.set_limits(self.learner.breadth())

    def _evict(self) -> None:
        """Forget the longest unseen keys when there are more than the bound."""
        bound = self.policy.memory.keys
        kept = self.docket.listed[: self.sources.known.size].copy()
        gone = evictable(self.sources, bound, kept)
        if gone.size:
            self.sources.forget(gone)
        gone = evictable(self.mailboxes, bound, self.mailboxes.hot)
        if not gone.size:
            return
        self.mailboxes.forget(gone)
        self.learner.mailbox_normals.forget(gone)
        alive = self.domains.hot.copy()
        alive[self.mailboxes.domain[self.mailboxes.known]] = True
        gone = np.flatnonzero(self.domains.known & ~alive)
        self.domains.forget(gone)
        self.learner.domain_normals.forget(gone)

    # -- keys ----------------------------------------------------------------------------------

    def watermark(self) -> int | None:
        """Give the last closed tick, None before the first."""
        return None if self.closer.closed == BEFORE_ALL else self.closer.closed


class _Scene:
    """What `rules` asks about one close, worked out once and only when asked."""

    def __init__(self, engine: Engine, tick: int) -> None:
        self._engine = engine
        self.tick = tick
        self._volumes: dict[int, dict[int, int]] = {}

    @property
    def cold_s(self) -> int | None:
        """Seconds since the log's start while it is cold, then None."""
        engine = self._engine
        if not engine.cold or engine.log_start is None:
            return None
        return self.tick - engine.log_start + 1

    def volumes(self, span_s: int) -> dict[int, int]:
        """Messages to everybody in the last seconds, by group hash."""
        if span_s not in self._volumes:
            engine = self._engine
            rows, _ = engine.evidence.between(self.tick + 1 - span_s, self.tick + 1)
            weight = (rows.count - rows.nulls) * MESSAGES[rows.outcome]
            groups, where = np.unique(engine.sources.group_hash[rows.ip], return_inverse=True)
            sums = np.zeros(groups.size, np.int64)
            np.add.at(sums, where, weight)
            self._volumes[span_s] = dict(zip(groups.tolist(), sums.tolist(), strict=True))
        return self._volumes[span_s]

    def allowed(self, victim: Victim, group: int, span_s: int) -> float:
        """Messages that the victim's relation with a group allows in a span; 0 for strangers."""
        engine = self._engine
        key = mixed_one(victim.hash, group)
        relations = engine.learner.relations
        if not relations.known(key):
            return 0.0
        return allowance(
            relations.expected(key, span_s), engine.policy.relations, known=True
        )

    def share(self, case: Case, span_s: int) -> float:
        """The victim's usual share of all mail, from before the last seconds."""
        return self._engine.usual_share(case, span_s, self.tick)
