"""Turns offences and requests into changes to listings, which it numbers and writes down."""

import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.events.numbering import Numbering
from detector.events.subjects import mailbox_masked, subject_key, subject_text
from detector.judge.offences import Offence
from detector.listing.breaker import Breaker, breaker_evidence, held_for
from detector.listing.collateral import Collateral
from detector.listing.costs import Costs
from detector.listing.decisions import decision
from detector.listing.guard import NeverList
from detector.listing.lifecycle import NEVER, TEMPORARY, Lifecycle, Listing
from detector.log.closing import PendingControl
from detector.log.records import AllowlistChange, OperatorAction, RemovalRequest
from detector.memory.learning import PERIOD_S
from detector.memory.tracking import Sources
from detector.memory.windows import grown
from detector.networks.providers import ProviderRegistry
from detector.policy.settings import Policy, policy_digest

__all__ = ["Listings"]


class Listings:
    """Active listings, and the changes that this close makes to them."""

    def __init__(
        self, policy: Policy, sources: Sources, collateral: Collateral,
        providers: ProviderRegistry | None,
    ) -> None:  # fmt: skip
        self.policy = policy
        self.digest = policy_digest(policy)
        self.sources = sources
        self.collateral = collateral
        self.providers = providers
        self.never = NeverList(policy.guard.never_list)
        self.allowed: tuple[str, ...] = ()
        """The operators' never-list, beside that of the policy."""
        self.lifecycle = Lifecycle(policy.listing)
        self.listed: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._by_slot: list[Listing | None] = []
        """The listings of `lifecycle` by the slots of their sources."""
        self.listed_for: list[int] = []
        """The flood of each source that the present close lists, by its number."""
        self.changes: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        """Controls that could not be carried out, in words for the operator."""
        self.forgiven: dict[int, int] = {}
        """By ip slot: the tick of its last removal."""
        self.seq = 0
        self.costs = Costs()
        self.breaker = Breaker(collateral, self.costs)
        self.whole_since = 0
        """The tick from which on all have been observed."""
        self._tick = self._observed = self._time_ms = self._published = 0

    def take_policy(self, policy: Policy) -> None:
        """Take a new policy into force; listings keep tier and rule.

        What it never lists is removed; what it takes out of the shadow has to be listed again.
        """
        self.policy = policy
        self.digest = policy_digest(policy)
        self.lifecycle.take_terms(policy.listing, self._tick)
        self.collateral.limits = policy.guard
        self.allow_ranges(self.allowed)
        self._remove_allowed()
        for _, listing in sorted(self.lifecycle.listings.items()):
            rule = getattr(policy.rules, listing.rule)
            if listing.shadow and "shadow" not in {policy.mode, rule.mode}:
                self.lifecycle.unmake(listing)
                self.lifecycle.remove(listing.subject)
                self._clear(listing)
                self._write("remove", listing, {"reason": "its rule is no longer in the shadow"})

    def ensure(self, size: int) -> None:
        """Make room for source slots."""
        self.listed = grown(self.listed, size)
        self._by_slot += [None] * (self.listed.size - len(self._by_slot))

    def begin(self, tick: int, observed: int, lateness_s: int) -> None:
        """Begin a close; its changes are knowable at the end of the tick plus the lateness."""
        self._tick, self._observed = tick, observed
        self._published = tick + 1 + lateness_s
        self._time_ms = self._published * 1000

    def _observed_by(self, tick: int) -> int:
        """Give how many ticks had been observed at a recent one; never too few."""
        return self._observed - max(0, self._tick - max(tick, self.whole_since))

    def masked(self, victim: str) -> str:
        """Give a victim as outsiders may see it."""
        return mailbox_masked(victim)

    def is_listed(self, ip: int) -> bool:
        """Say whether a source has a listing (a held one too: it is being watched)."""
        return self._by_slot[ip] is not None

    def stops(self, ip: int, tick: int) -> bool:
        """Say whether a published listing stops what a source sends at a tick."""
        listing = self._by_slot[ip]
        return listing is not None and tick >= listing.stops_from

    # -- offences ------------------------------------------------------------------------------

    def offences(self, offences: list[Offence]) -> None:
        """List the sources of offences, in the order of their subjects; one offence each."""
        first: dict[int, Offence] = {}
        for offence in offences:
            first.setdefault(offence.ip, offence)
        for ip in self.sources.table.by_name(first):
            if self._by_slot[ip] is not None:
                self.attempts([(ip, first[ip].last_tick, first[ip].messages)])
                continue
            self._list(ip, first[ip])

    def _list(self, ip: int, offence: Offence) -> None:
        subject = self.sources.table.names[ip]
        key = self.sources.table.key(ip)
        rule = getattr(self.policy.rules, offence.rule)
        if not rule.enabled or self.never.covers(key):
            return
        asn = offence.asn
        provider = self.providers.provider_of(asn, key) if self.providers is not None else ""
        listing = Listing(
            subject=subject, slot=ip, rule=offence.rule, tier=TEMPORARY, asn=asn,
            provider=provider, first_seen=offence.first_tick, last_seen=offence.last_tick,
            listed_at=self._tick, observed_at=self._observed_by(offence.last_tick), repeats=0,
            told_at=self._tick, victim=sys.intern(str(offence.evidence.get("victim", ""))),
            domain=offence.domain, network=int(self.sources.group[self.sources.place[ip]]),
            cost=max(int(self.sources.normal[ip]), offence.others),
            policy=self.digest, shadow="shadow" in {self.policy.mode, rule.mode},
            flood=offence.flood, part=offence.messages,
        )  # fmt: skip
        self.costs.add(listing)
        self.breaker.begin(listing.domain)
        cost = self.collateral.cost(self.costs, listing, offence.everything)
        full = len(self.lifecycle.listings) >= self.policy.memory.listings
        evidence = offence.evidence | {"collateral": cost.evidence()}
        if full or cost.held_for:
            evidence |= held_for("memory.listings" if full else cost.held_for, cost.own)
            self.costs.set_held(listing, held=True)
        self.lifecycle.add(listing, self._tick)
        self.listed[ip], self._by_slot[ip] = True, listing
        if not listing.held:
            self._put_out(listing)
        self._write("hold" if listing.held else "list", listing, evidence)

    def _put_out(self, listing: Listing) -> None:
        """Count a listing for its flood; unless in the shadow, it stops its source from now on."""
        self.listed_for.append(listing.flood)
        listing.published = True
        if not listing.shadow:
            listing.stops_from = self._published

    def attempts(self, attempts: Iterable[tuple[int, int, int]]) -> None:
        """Note (ip slot, tick, messages) of listed sources that went on; told once in a while."""
        told = []
        for ip, tick, part in attempts:
            if (listing := self._by_slot[ip]) is None:
                continue
            listing.part = max(listing.part, part)
            if tick <= listing.last_seen:
                continue
            before = listing.tier
            self.lifecycle.attempt(listing, tick, self._observed_by(tick))
            due = self._tick - listing.told_at >= self.policy.listing.extend_every_s
            if due or listing.tier != before:
                listing.told_at = self._tick
                if not listing.held:
                    told.append(listing)
        for listing in sorted(told, key=lambda one: one.subject):
            self._write("extend", listing, {"reason": "attempts at a flooded victim go on"})

    def connect(self, ip: int, tick: int, count: int) -> None:
        """Note attempts of a source that named no recipient."""
        listing = self._by_slot[ip] if ip < len(self._by_slot) else None
        if listing is not None:
            self.lifecycle.connect(listing, tick, count)

    # -- ends and removals ---------------------------------------------------------------------

    def ends(self) -> None:
        """End what has been quiet for long enough, or reached its hard end."""
        for listing, reason in self.lifecycle.ended(self._tick, self._observed):
            self._clear(listing)
            quiet_s = listing.quiet_s(self._observed)
            self._write("expire", listing, {"reason": reason, "quiet_s": quiet_s})

    def withdraw(self, young_until: int) -> list[int]:
        """Withdraw what would not be listed now; give those ip slots.

        Called at the close of a slot. Of a young log's listings, those whose part of the flood is
        small beside what they send others, by the cost as at the listing, and quiet for a slot.
        """
        rule = self.policy.rules.victim_flood
        early = [one for one in self.lifecycle.listings.values() if one.listed_at < young_until]
        out = []
        for listing in sorted(early, key=lambda one: one.subject):
            listing.sent += int(self.sources.lately[listing.slot])
            quiet = self._tick - listing.last_seen >= PERIOD_S
            if quiet and listing.part < rule.innocent * rule.cost * listing.sent:
                self.lifecycle.unmake(listing)
                reason = {"reason": "withdrawn", "messages_to_others": listing.sent}
                out.append(self._remove(listing, reason | {"source_messages": listing.part}))
        return out

    def _clear(self, listing: Listing) -> None:
        self.listed[listing.slot], self._by_slot[listing.slot] = False, None
        self.costs.take(listing)
        if not listing.published:
            self.lifecycle.unmake(listing)

    def count_costs(self, ip: NDArray[np.int32], messages: NDArray[np.uint32]) -> None:
        """Count what a minute brought others, by source; hold what costs too much now."""
        here = self.listed[ip] & (messages > 0)
        by_slot: Counter[int] = Counter()
        for slot, count in zip(ip[here].tolist(), messages[here].tolist(), strict=True):
            by_slot[slot] += count
        sent = [(one, n) for slot, n in by_slot.items() if (one := self._by_slot[slot])]
        everything = int(messages.sum(dtype=np.int64))
        for listing, cost in self.breaker.minute_ends(sent, everything, self.lifecycle.all()):
            self.costs.set_held(listing, held=True)
            listing.stops_from = NEVER
            self._write("hold", listing, breaker_evidence(cost))

    def fade_costs(self) -> None:
        """Let costs fade by a day, as normal mail does."""
        for listing in self.lifecycle.all():
            self.costs.set_cost(listing, listing.cost * 6 // 7)

    def forgive_until(self, tick: int) -> None:
        """Forget removals up to a tick: rows from before it are in no window any more."""
        self.forgiven = {ip: removed for ip, removed in self.forgiven.items() if removed > tick}

    def _remove(self, listing: Listing, evidence: dict[str, Any], request: str = "") -> int:
        self.lifecycle.remove(listing.subject)
        self._clear(listing)
        self.forgiven[listing.slot] = self._tick
        self._write("remove", listing, evidence, request)
        return listing.slot

    def allow_ranges(self, ranges: tuple[str, ...]) -> None:
        """Activate the operators' never-list."""
        self.never = NeverList((*self.policy.guard.never_list, *ranges))
        self.allowed = ranges

    def allow(self, controls: tuple[PendingControl, ...]) -> None:
        """Take new never-lists into force and remove what they cover."""
        for item in controls:
            if isinstance(item.control, AllowlistChange):
                try:
                    self.allow_ranges(item.control.ranges)
                except ValueError as error:
                    self.complaints.append(f"allowlist at log offset {item.offset}: {error}")
                    continue
                self._remove_allowed()

    def _remove_allowed(self) -> None:
        """Remove what the never-list covers now."""
        for _, listing in sorted(self.lifecycle.listings.items()):
            if self.never.covers(self.sources.table.key(listing.slot)):
                self._remove(listing, {"reason": "on the allowlist now"})

    def answer(self, controls: tuple[PendingControl, ...]) -> list[int]:
        """Answer removal requests and do what operators ask; give the removed ip slots."""
        removed: list[int] = []
        for item in controls:
            match item.control:
                case RemovalRequest(_, subject, request):
                    removed += self._request(subject, request)
                case OperatorAction(_, action, argument, request):
                    removed += self._operate(action, argument, request)
                case _:
                    pass
        return removed

    def _request(self, text: str, request: str) -> list[int]:
        subject = _named(text)
        listing = self.lifecycle.listings.get(subject)
        if listing is None or listing.held:
            self._refuse(subject, {"reason": "not listed"}, request)
            return []
        answer = self.lifecycle.ask(listing, self._tick, self._observed)
        if answer.granted:
            quiet = listing.quiet_s(self._observed)
            return [self._remove(listing, {"reason": "request", "quiet_s": quiet}, request)]
        evidence = {
            "reason": "its attempts at a flooded victim are too recent",
            "rule": listing.rule,
            "last_offence_ms": listing.last_seen * 1000,
            "quiet_s": max(0, listing.quiet_s(self._observed)),
            "quiet_needed_s": self.lifecycle.quiet_needed(listing, on_request=True),
            "earliest_ms": (answer.earliest + 1) * 1000,
        }
        self._write("refuse", listing, evidence, request)
        return []

    def _operate(self, action: str, argument: str, request: str) -> list[int]:
        listings = self.lifecycle.listings
        if action == "purge":
            what, _, value = argument.partition("=")
            doomed = [
                listings[subject] for subject in sorted(listings)
                if (what == "rule" and listings[subject].rule == value)
                or (what == "policy" and listings[subject].policy == value)
            ]  # fmt: skip
            for item in doomed:
                self.lifecycle.unmake(item)
            reason = {"reason": f"purged: {argument}"}
            return [self._remove(item, dict(reason), request) for item in doomed]
        argument = _named(argument)
        listing = listings.get(argument)
        if listing is None:
            self._refuse(argument, {"reason": "not listed"}, request)
            return []
        if action == "release" and listing.held:
            listing.released = True
            self.costs.set_held(listing, held=False)
            self._put_out(listing)
            self._write("release", listing, {"reason": "released by an operator"}, request)
            return []
        if action == "remove":
            return [self._remove(listing, {"reason": "removed by an operator"}, request)]
        self._refuse(argument, {"reason": f"cannot {action} this listing"}, request)
        return []

    # -- snapshots -----------------------------------------------------------------------------

    def state(self, ips: Numbering) -> dict[str, Any]:
        """Give what a snapshot needs."""
        numbers = ips.numbers(np.array(list(self.forgiven), np.int64)).tolist()
        forgiven = sorted(zip(numbers, self.forgiven.values(), strict=True))
        return {
            "lifecycle": self.lifecycle.state(),
            "forgiven": forgiven,
            "allowed": self.allowed,
            "seq": self.seq,
            "whole_since": self.whole_since,
            "accounts": [[domain, *sums] for domain, sums in sorted(self.breaker.accounts.items())],
        }

    def restore(self, state: dict[str, Any], ips: Numbering) -> None:
        """Take back what `state` gave, after that of the sources."""
        self.ensure(self.sources.known.size)
        self.lifecycle.restore(state["lifecycle"], self.sources.table.slot)
        for listing in self.lifecycle.all():
            self.listed[listing.slot], self._by_slot[listing.slot] = True, listing
            self.costs.add(listing)
        numbers = np.array([number for number, _ in state["forgiven"]], np.int64)
        ticks = [tick for _, tick in state["forgiven"]]
        self.forgiven = dict(zip(ips.slots(numbers).tolist(), ticks, strict=True))
        self.allow_ranges(tuple(state["allowed"]))
        self.seq = state["seq"]
        self.whole_since = state.get("whole_since", 0)
        accounts = state.get("accounts", [])
        self.breaker.accounts = {domain: [blocked, every] for domain, blocked, every in accounts}

    # -- writing -------------------------------------------------------------------------------

    def _refuse(self, subject: str, evidence: dict[str, Any], request: str) -> None:
        """Answer a request about a subject that has no listing."""
        now = self._tick
        listing = Listing(
            subject=subject, slot=-1, rule="", tier="", asn=-1, provider="", first_seen=now,
            last_seen=now, listed_at=now, observed_at=self._observed, repeats=0, told_at=now,
            victim="",
        )  # fmt: skip
        self._write("refuse", listing, evidence, request)

    def _write(
        self, change: str, listing: Listing, evidence: dict[str, Any], request: str = ""
    ) -> None:
        """Number a change and keep it for whoever publishes it."""
        self.seq += 1
        standing = change in {"list", "extend", "hold", "release", "refuse"} and listing.slot >= 0
        ends = self._tick, self._tick
        if standing:
            ends = self.lifecycle.until(listing, self._tick, self._observed)
        self.changes.append(
            decision(
                change, listing, evidence, seq=self.seq, time_ms=self._time_ms, ends=ends,
                policy=self.digest, request=request,
            )
        )  # fmt: skip


def _named(text: str) -> str:
    """Give the subject that an address names; other text stays."""
    key = subject_key(text)
    return subject_text(key) if key is not None else text
