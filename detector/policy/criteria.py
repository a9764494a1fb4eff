"""The listing and removal criteria in plain words, with the numbers of a policy (RFC 6471, 2.1).

Written for the postmaster whose address was listed; `floodwatch policy` prints it. Nothing may be
listed outside of what stands here, so a rule that changes must change its paragraph.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from detector.judge.concentration import LEAST_PER_VICTIM
from detector.judge.excess import AWAIT_S, SYSTEM_BURST, SYSTEM_LEAST, SYSTEM_SHARE

from detector.judge.rules import (  # isort: skip
    AGEING_S, AIMED, AIMED_ALL, BUSY_LEAST, BUSY_SHARE, COLD_PART, COLD_SHARE, CROWD,
    HEAVY_MESSAGES, HEAVY_SHARE, LIGHT_SHARE, PASSING, PASSING_MOST, SUDDEN_S,
)  # fmt: skip
from detector.listing.guard import RESERVED
from detector.policy.settings import (
    BackscatterRule,
    ConcentrationRule,
    ListingTerms,
    Policy,
    VictimRule,
)
from detector.policy.text import settings_of
from detector.policy.wording import duration, many, number, ordinal, percent, wrapped

__all__ = ["Section", "criteria", "criteria_text", "numbers"]

MINUTE_S: Final = 60
RANGES_IN_PROSE, ROWS_OF_REPEATS = 20, 5


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the criteria: paragraphs first, then `items`, to be numbered from 1."""

    title: str
    paragraphs: tuple[str, ...]
    items: tuple[str, ...] = ()


def criteria(policy: Policy) -> list[Section]:
    """State in words what a policy lists, for how long, and how a listing ends."""
    return [
        _purpose(policy), _counting(policy), _reasons(policy), _taking_part(policy),
        _exceptions(policy), _size(), _length(policy), _removal(policy), _ends(policy),
        _cost(policy), _record(),
    ]  # fmt: skip


def numbers(policy: Policy) -> list[tuple[str, str, str]]:
    """Give every setting as (key, value as a policy file writes it, meaning).

    >>> numbers(Policy())[1]
    ('clock.lateness_s', '2', 'seconds a tick stays open for events out of order')
    """
    rows: list[tuple[str, str, str]] = []
    for key, value, about in settings_of(policy):
        meaning = about["meaning"]
        if key.endswith("_s") and value >= MINUTE_S:
            meaning = f"{meaning} ({duration(value)})"
        rows.append((key, _toml(value), meaning))
    return rows


def criteria_text(policy: Policy, width: int = 88) -> str:
    """Give the criteria and all numbers as plain text in lines of `width`, longer words apart."""
    lines: list[str] = []
    for section in criteria(policy):
        lines += [section.title, "-" * len(section.title)]
        for paragraph in section.paragraphs:
            lines += [*wrapped(paragraph, width), ""]
        for place, item in enumerate(section.items, start=1):
            lines += wrapped(item, width, f"{place:>2}. ", "    ")
        lines += [""] if section.items else []
    lines += ["All numbers", "-----------"]
    for key, value, meaning in numbers(policy):
        lines += wrapped(f"{key} = {value}: {meaning}", width, "", "    ")
    return "\n".join(lines) + "\n"


def _purpose(policy: Policy) -> Section:
    shadow = "At present nothing is published (shadow mode): what would be listed is only recorded."
    text = f"""
        {shadow if policy.mode == "shadow" else ""}

        This list names addresses from which mailboxes of our customers are being flooded, so that
        all of them can refuse mail from there while it lasts. It says nothing about a company or a
        person, and it is temporary.

        What is listed is a single IPv4 address, or the /64 network of an IPv6 address. Nothing is
        listed outside of the criteria on this page (RFC 6471, 2.1). All times are those in the
        mail logs.
    """
    return _section("What this list is", text)


def _counting(policy: Policy) -> Section:
    terms, base, clock = policy.relations, policy.baseline, policy.clock
    text = f"""
        A message counts once for each mailbox it is meant for, whether it was accepted or refused.
        Mail that we send is never counted against anybody.

        What an address or a network normally sends to a mailbox is its relation, learned from mail
        outside of floods {duration(terms.learn_delay_s)} after it arrived; it counts half after
        {many(terms.half_life_days, "day")}. Each is judged by its own: explained are
        {many(terms.floor, "message")} of a known address and {number(terms.factor)} times the usual
        volume, with room for chance and bursts, and as much again for each {duration(AGEING_S)} of
        a mailbox's flood; of what it sends to everybody, the usual share (an address alone: of its
        own); what strangers usually send. When others get more, from all or from it, so may this.
        A /24 or /48 that sends {percent(SYSTEM_SHARE)} of what its network (AS) does there, and
        usually {many(SYSTEM_LEAST, "message")} in 10 minutes or more, is a system, as for tickets,
        and may send a mailbox {number(SYSTEM_BURST)} times that.

        The normal of a mailbox or a network is learned once it gets or sends
        {many(base.busy_per_10min, "message")} in 10 minutes; the newest 10 minutes weigh
        {percent(base.fading)}, and a flood teaches no more than was usual. {_start(policy)}

        Log lines may come up to {duration(clock.lateness_s)} out of order; later ones count at the
        time they tell of, so that late logs never look like a burst. A line more than
        {duration(clock.future_s)} ahead of time is set aside.
    """
    return _section("How messages are counted", text)


def _reasons(policy: Policy) -> Section:
    rules = policy.rules
    source = f"an address is listed when it sends {_concentrated(rules.source_flood)}."
    network = f"""
        when a network sends {_concentrated(rules.asn_flood)}, and this is more than
        {number(rules.asn_flood.baseline_factor)} times its normal, each of its addresses that
        takes part is listed, never the network as a whole."""
    bounces = f"""
        when bounces (mail with an empty sender) to one mailbox reach
        {number(rules.backscatter.per_min)} in a minute, each address that takes part is listed."""
    items = f"""
        {_rule("victim_flood, a flooded mailbox or domain", rules.victim_flood, _victim(policy))}

        {_rule("source_flood, one address against few mailboxes", rules.source_flood, source)}

        {_rule("asn_flood, one network (AS) against few mailboxes", rules.asn_flood, network)}

        {_rule("backscatter, bounces to a forged address", rules.backscatter, bounces)}
    """
    text = "An address is listed when one of these rules finds it taking part in a flood."
    return _section("What gets an address listed", text, items)


def _rule(name: str, rule: VictimRule | ConcentrationRule | BackscatterRule, text: str) -> str:
    if not rule.enabled:
        return f"{name}: this rule is switched off and lists nothing."
    if rule.mode == "shadow":
        return f"{name}: this rule only records and publishes nothing (shadow). If it did: {text}"
    return f"{name}: {text}"


def _victim(policy: Policy) -> str:
    rule = policy.rules.victim_flood
    return f"""
        a mailbox is flooded when it gets {number(rule.mailbox_per_min)} messages in a minute,
        {number(rule.mailbox_per_10min)} in 10 minutes or {number(rule.mailbox_per_hour)} in an
        hour. A customer's domain is flooded at {number(rule.domain_per_min)} in a minute or
        {number(rule.domain_per_10min)} in 10 minutes, over at least
        {number(rule.domain_mailboxes)} of its mailboxes, with more than a message to each. If fewer
        than {many(rule.diverse_networks, "network")} send them, these limits are multiplied by
        {number(rule.single_source_factor)} ({number(rule.domain_source_factor)} for a domain, where
        systems are left out, and who writes to a mailbox that deferred its mail within
        {duration(AWAIT_S)}). The messages must also exceed {number(rule.baseline_factor)} times the
        victim's normal, and lie {number(rule.baseline_sigmas)} standard deviations above it (at
        most the limit on top of that multiple); what is unexplained must reach the limit alone."""


def _start(policy: Policy) -> str:
    rule, factor = policy.rules.victim_flood, number(policy.rules.victim_flood.cold_factor)
    return f"""
        In the first {duration(policy.baseline.cold_start_s)} of a log what came before stands for
        the normal. A domain must then get {factor} times its limits; a mailbox {factor} times that
        of a minute from few networks that wrote to it before, half of that from others. What has
        come since the log began is normal, unless a mailbox gets from many addresses
        {number(rule.cold_10min_factor)} times the limit of 10 minutes, or in the first
        {duration(SUDDEN_S)} {number(rule.cold_diverse_factor)} times that of a minute (from few
        {factor} times), and {percent(COLD_PART)} of all it gets, beyond
        {percent(COLD_SHARE)} of what those networks (AS) send to others."""


def _taking_part(policy: Policy) -> Section:
    rule, floor = policy.rules.victim_flood, policy.relations.floor
    text = f"""
        Who sends a victim more than is explained is listed at its first message in a crowd: its
        network (AS) sends {many(HEAVY_MESSAGES, "message")} and {percent(HEAVY_SHARE)} of the
        flood, from {HEAVY_MESSAGES} addresses and {number(CROWD)} for each usual message; or those
        that send less make up {percent(LIGHT_SHARE)} of a flood that still presses, from
        {number(rule.light_messages)} addresses more than {number(rule.light_factor)} times the
        usual strangers (at a domain: than its usual mail). Who sent clean mail before is counted
        apart and, from fewer addresses of one network, listed at the second. Without a crowd it
        takes {many(floor + 1, "message")}, and a known normal where a network sends less.

        A first message of an address that sends others {many(BUSY_LEAST, "message")} and
        {percent(BUSY_SHARE)} of all mail proves nothing; nor do {PASSING_MOST} messages if they are
        {percent(PASSING)} of its mail; one listed in the cold start for so small a part is
        withdrawn after 10 quiet minutes. At a domain, {percent(AIMED)} of what it and its network
        send must go to mailboxes that got two in 10 minutes, if {percent(AIMED_ALL)} of all does.

        A flood is over when 10 minutes bring less than {percent(rule.calm_fraction)} of the
        10-minute limit beyond what is explained, or all in all {number(rule.baseline_factor)} times
        what strangers usually send. Refused and deferred attempts count too.
    """
    return _section("Who takes part, and until when", text)


def _concentrated(rule: ConcentrationRule) -> str:
    return f"""
        {number(rule.per_min)} messages in a minute or {number(rule.per_10min)} in 10 minutes, at
        least {percent(rule.share)} of all it sends, to at most {number(rule.victims)} mailboxes
        with {number(rule.per_victim)} each in 10 minutes, {LEAST_PER_VICTIM} in the minute"""


def _exceptions(policy: Policy) -> Section:
    ranges = policy.guard.never_list
    own = ", ".join(ranges[:RANGES_IN_PROSE]) or "none at present"
    if len(ranges) > RANGES_IN_PROSE:
        own += f" and {len(ranges) - RANGES_IN_PROSE:,} more (see the table of numbers)"
    items = f"""
        A newsletter that goes once to each of many mailboxes.

        What a source has always sent: a mailbox that is always busy with mail from the same
        networks is not flooded by them.

        Retries of messages that we asked to be sent again later (greylisting), the queue that a
        sender delivers after an outage of ours, refusals that this list itself has caused, and mail
        to mailboxes that do not exist.

        Bounces, which have an empty sender: somebody else forged the mailbox they go to. Where it
        gets bounces for the most part, mail of which the log names no sender is taken for one.
        {"The exception is the rule backscatter above." if policy.rules.backscatter.enabled else ""}

        Whole networks or providers: only the addresses that take part.

        Reserved address space: {", ".join(RESERVED)}.

        Our own servers and the ranges that we allow: {own}. A range inside an IPv6 /64 keeps that
        whole /64 off the list.
    """
    text = "None of this is a reason for a listing; the last two stay off it whatever they do."
    return _section("What is never listed", text, items)


def _size() -> Section:
    text = """
        The same rules and numbers hold for every address, whoever owns it. A large provider is not
        exempt because it is large, and not listed because it is large: an address that takes part
        in a flood is listed, one that does not is not (RFC 6471, 2.1).
    """
    return _section("The size of a provider is no reason", text)


def _length(policy: Policy) -> Section:
    terms = policy.listing
    by_repeats, repeats = "", "Earlier listings do not count."
    if terms.memory_s:
        nth = f"the {ordinal(terms.standing_listings)} within {duration(terms.memory_s)}"
        by_repeats = f"it is {nth}, or when"
        repeats = f"""
            Listings of the last {duration(terms.memory_s)} count as repeats. Each doubles the quiet
            that is needed, for the end by itself and for a request, up to
            {duration(terms.most_quiet_s)}."""
    text = f"""
        A listing ends by itself once the address has been quiet for long enough. Quiet means no
        attempt at a mailbox or domain that is being flooded; such an attempt begins the quiet anew.
        Ordinary mail and retries to others do not (RFC 6471, 2.2.1).

        Only quiet that we have observed counts: while our logs are missing, nobody's time runs.
        More than {many(terms.connect_floor, "attempt")} within an hour that are refused before
        they name a recipient pause it as well. That a listing goes on is published at most once in
        {duration(terms.extend_every_s)}.

        There are two tiers, temporary and standing. A listing is standing when {by_repeats} its
        flood has lasted {duration(terms.standing_flood_s)}. {repeats}
    """
    return _section("How long a listing lasts", text, "\n\n".join(_rows_of_repeats(terms)))


def _rows_of_repeats(terms: ListingTerms) -> Iterator[str]:
    rows = max(2, min(terms.standing_listings, ROWS_OF_REPEATS)) if terms.memory_s else 1
    for repeats in range(rows):
        standing = bool(terms.memory_s) and repeats + 1 >= terms.standing_listings
        tier = "standing" if standing else "temporary"
        yield f"The {ordinal(repeats + 1)} listing, {tier}: {_terms(terms, repeats, standing)}"
    yield f"A first listing made standing by a long flood: {_terms(terms, 0, standing=True)}"


def _terms(terms: ListingTerms, repeats: int, standing: bool) -> str:
    quiet, asked, hard = (
        (terms.standing_quiet_s, terms.standing_removal_quiet_s, terms.standing_hard_s)
        if standing
        else (terms.temporary_quiet_s, terms.temporary_removal_quiet_s, terms.temporary_hard_s)
    )
    needed = _repeated(quiet, repeats, terms)
    return f"""
        it ends by itself after {duration(needed)} of quiet, on request after
        {duration(_repeated(asked, repeats, terms))}, and in any case
        {duration(max(hard, needed))} after the last attempt."""


def _repeated(quiet_s: int, repeats: int, terms: ListingTerms) -> int:
    return int(min(quiet_s * 2**repeats, max(terms.most_quiet_s, quiet_s)))


def _removal(policy: Policy) -> Section:
    terms = policy.listing
    text = """
        Anybody may ask, at any time, free of charge and without proof of ownership, and is answered
        at once (RFC 6471, 2.2). Asking never makes a listing longer.
    """
    items = f"""
        Temporary listings end by themselves; nobody needs to ask. Who asks is granted the removal
        after {duration(terms.temporary_removal_quiet_s)} of quiet.

        Standing listings are their owner's job: find and stop the cause, then ask. It is granted
        after {duration(terms.standing_removal_quiet_s)} of quiet. Unasked, the listing stays until
        {duration(terms.standing_quiet_s)} of quiet have passed.

        Repeats double these times, as said above.

        While the address still floods a customer, or has not been quiet for long enough, the
        removal is refused. The answer names the rule, the last offence and the earliest time at
        which a request can be granted.

        What was sent before a removal counts nothing against the address afterwards, however late
        its logs come. A new flood lists it again, as a repeat.
    """
    return _section("How to have an address removed", text, items)


def _ends(policy: Policy) -> Section:
    terms = policy.listing
    text = f"""
        Every listing carries a hard end, which holds even if nobody watches and no logs arrive:
        {duration(terms.temporary_hard_s)} after the last attempt at a flooded mailbox for a
        temporary listing, {duration(terms.standing_hard_s)} for a standing one, or as long as the
        quiet that repeats require, if that is longer.
    """
    return _section("No listing is permanent", text)


def _cost(policy: Policy) -> Section:
    guard = policy.guard
    text = f"""
        A listing also blocks wanted mail from the same address. What our customers normally get,
        learned over about a week, tells how much. It is known after {duration(guard.warm_s)} of
        observed mail; before that no listing is held.
    """
    items = f"""
        Above {percent(guard.hold_share)} of all normal mail blocked, by all listings together or
        by those of one victim, a further listing that adds to it is held until an operator decides.
        Held is not exempt.

        Above {percent(guard.alert_share)}, or {percent(guard.victim_alert_share)} by the listings
        of one victim, operators are alerted.
    """
    return _section("What listings may cost others", text, items)


def _record() -> Section:
    text = """
        Every listing, extension, refusal and removal is kept with rule, evidence and version of the
        policy. Look the address up to see what it did, when, whether it goes on and what is next.
        Victims are shown masked. What a faulty rule or policy listed is removed at once.
    """
    return _section("What is kept and shown", text)


def _section(title: str, text: str, items: str = "") -> Section:
    return Section(title, tuple(_blocks(text)), tuple(_blocks(items)))


def _blocks(text: str) -> Iterator[str]:
    """Give the blocks between blank lines, each as one line."""
    for block in text.split("\n\n"):
        if words := block.split():
            yield " ".join(words)


def _toml(value: bool | float | str | Sequence[str]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value)
