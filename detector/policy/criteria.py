"""The listing and removal criteria in plain words, with the numbers of a policy (RFC 6471, 2.1).

Written for the postmaster whose address was listed; `floodwatch policy` prints it. Nothing is
listed for a reason that is not stated here: who changes a rule changes its paragraph.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from detector.judge.excess import calm
from detector.judge.rows import LONG_S
from detector.listing.collateral import LEAST
from detector.policy.constants import EACH
from detector.policy.settings import Policy
from detector.policy.text import settings_of
from detector.policy.wording import (
    aligned,
    duration,
    many,
    number,
    ordinal,
    percent,
    wrapped,
)

__all__ = ["Section", "criteria", "criteria_text", "numbers"]

MINUTE_S = 60
RANGES_IN_PROSE = 5
TO_OTHERS = 10
"""Messages to others in the example of what they change."""

Rows = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the criteria: paragraphs, tables (rows of cells) and lists, in their order."""

    title: str
    blocks: tuple[str | Rows | list[str], ...]


def criteria(policy: Policy) -> list[Section]:
    """State in words what a policy lists, for how long, and how a listing ends."""
    return [
        _purpose(policy), _counting(policy), _flood(policy), _listed(policy), _example(policy),
        _ends(policy), _mistakes(policy),
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
        for block in section.blocks:
            lines += _block(block, width)
        lines.append("")
    lines += ["All numbers", "-----------"]
    for key, value, meaning in numbers(policy):
        lines += wrapped(f"{key} = {value}: {meaning}", width, "", "    ")
    return "\n".join(lines) + "\n"


def _block(block: str | Rows | list[str], width: int) -> Iterator[str]:
    match block:
        case str():
            yield from wrapped(" ".join(block.split()), width)
        case list():
            for item in block:
                yield from wrapped(" ".join(item.split()), width, "- ", "  ")
        case _:
            yield from aligned(block, "  ")


def _purpose(policy: Policy) -> Section:
    rule = policy.rules.victim_flood
    state = ""
    if not rule.enabled:
        state = "The rule is switched off: at present nothing is listed."
    elif "shadow" in {policy.mode, rule.mode}:
        state = "Shadow mode: at present listings are only recorded, and nothing is published."
    text = f"""
        {state} An entry is one IPv4 address or one IPv6 /64 that takes part in a flood of mail to
        our customers, whatever the size of its provider. Every entry ends. Nothing is listed for a
        reason that is not on this page (RFC 6471, 2.1). All times are those of the mail logs."""
    return Section("What this list is", (text,))


def _counting(policy: Policy) -> Section:
    terms, rule = policy.learning, policy.rules.victim_flood
    text = f"""
        A message counts once for each recipient, accepted or refused. Deferred messages, messages
        to unknown users, refusals by block lists and mail that we send do not count.
        What a mailbox or a customer's domain
        usually gets from each network (AS) is learned in slots of {duration(LONG_S)} from mail
        outside floods, {duration(terms.delay_s)} later; after {many(terms.half_life_days, "day")}
        it counts half. "Usual" is what only one window of {number(round(10**rule.surprise))}
        exceeds. A network that sends everybody twice its usual mail may send the victim twice as
        much. Of what a network sends beyond its usual, {number(int(EACH))} messages are newcomers'
        mail; of that counts what exceeds their usual."""
    return Section("What is counted", (text,))


def _flood(policy: Policy) -> Section:
    rule, terms = policy.rules.victim_flood, policy.learning
    before = "A mailbox or a domain is flooded when the messages beyond its usual reach a limit:"
    limits = (
        ("", "in 1 minute", "in 10 minutes", "in 1 hour"),
        (
            "a mailbox", number(rule.mailbox_per_min), number(rule.mailbox_per_10min),
            number(rule.mailbox_per_hour),
        ),
        (
            f"a domain ({number(rule.domain_mailboxes)} mailboxes or more)",
            number(rule.domain_per_min), number(rule.domain_per_10min),
            number(rule.domain_per_hour),
        ),
    )  # fmt: skip
    young = f"""
        A domain's limit is at least its usual mail in that time. While the log or the domain is
        younger than {duration(terms.young_s)} the limits are {number(terms.young_factor)} times as
        high, and the mail before the window stands for the usual. These do not count:"""
    not_counted = [
        f"""newsletters: one message to each mailbox with mail before (one server: up to
        {number(int(EACH))});""",
        f"""bounces (empty sender) from known mail servers, up to
        {number(rule.mailbox_per_10min * rule.over_fraction)} from each;""",
        f"""regular senders ({number(rule.regular_slots)} slots or more at the mailbox): up to
        {number(rule.system_burst)} times their average slot.""",
    ]
    mailbox, domain = (calm(rule, scope) for scope in ("mailbox", "domain"))
    over = f"""
        A flood is over when, at the end of a slot, the last hour brought fewer than
        {many(mailbox, "message")} beyond the usual (a domain: {number(domain)}, rare at
        {percent(rule.over_fraction)} of the limit) and listed ones as few."""
    return Section("What is a flood", (before, limits, young, not_counted, over))


def _listed(policy: Policy) -> Section:
    rule = policy.rules.victim_flood
    weighed = rule.innocent / (1.0 + rule.cost * TO_OTHERS)
    expected, came = 0.3, 6
    text = "An address that writes to a flooded mailbox or domain is listed when"
    cases = [
        f"""it sends {number(rule.mailbox_per_min)} messages more than its usual, and than twice
        what is expected of it in the flood's time, whatever it sends others; or when""",
        f"""the chance that it is innocent is below {percent(rule.innocent)}. If
        {came} addresses of its network take part where {expected} messages are expected then, the
        chance is {_rounded(expected / came)}: one message may be enough. Networks with one address
        each are judged together. Further messages lower the chance. Mail to others,
        {number(rule.cost)} a message (at least a day's), lowers the limit: {TO_OTHERS} to
        {_rounded(weighed)}.""",
    ]
    system = f"""
        A regular sender of a mailbox is listed there only for more than
        {number(rule.system_burst)} times its usual."""
    return Section("When an address is listed", (text, cases, system))


def _example(policy: Policy) -> Section:
    rule, terms = policy.rules.victim_flood, policy.listing
    count = rule.mailbox_per_min + int(EACH)
    again = f"""
        Its second listing within {duration(terms.memory_s)} takes
        {duration(_repeated(terms.temporary_removal_quiet_s, 1, policy))} and
        {duration(_repeated(terms.temporary_quiet_s, 1, policy))}."""
    text = f"""
        Ann gets a few messages an hour. At 10:00 a server that never wrote to her starts to send
        {number(2 * count)} a minute. {number(int(EACH))} count as a newcomer's; with the
        {ordinal(count)} message {number(rule.mailbox_per_min)} are beyond the usual, her mailbox is
        flooded and the server is listed. A correspondent who writes once in this time is not. The
        server stops at 10:05. A removal is granted on request after
        {duration(terms.temporary_removal_quiet_s)}; without one it ends after
        {duration(terms.temporary_quiet_s)}. {again if terms.memory_s else ""}"""
    return Section("Example", (text,))


def _ends(policy: Policy) -> Section:
    terms = policy.listing
    table = (
        ("a listing ends after", "quiet", "quiet, on request", "latest, after the last attempt"),
        (
            "temporary", duration(terms.temporary_quiet_s),
            duration(terms.temporary_removal_quiet_s), duration(terms.temporary_hard_s),
        ),
        (
            "standing", duration(terms.standing_quiet_s),
            duration(terms.standing_removal_quiet_s), duration(terms.standing_hard_s),
        ),
    )  # fmt: skip
    repeats = ""
    if terms.memory_s:
        repeats = f""", or when it is the {ordinal(terms.standing_listings)} of its address in
            {duration(terms.memory_s)}. Each earlier listing in that time doubles the quiet that is
            needed, up to {duration(terms.most_quiet_s)}"""
    text = f"""
        Quiet means no attempt at any mailbox or domain while it is flooded; other mail does not
        matter (RFC 6471, 2.2.1). It counts only while we have logs. Connections that name no
        recipient may hide an attack: more than {number(terms.connect_floor)} an hour pause it, not
        the latest end. A listing is
        standing when its flood has lasted {duration(terms.standing_flood_s)}{repeats}. Extensions
        are published at least {duration(terms.extend_every_s)} apart. Anybody may ask for a
        removal, free of charge; asking never makes a listing longer. A refusal names the earliest
        time. What was sent before a removal does not count later, but that listing does."""
    return Section("How a listing ends", (table, text))


def _mistakes(policy: Policy) -> Section:
    guard = policy.guard
    own = ", ".join(guard.never_list[:RANGES_IN_PROSE]) or "none at present"
    if len(guard.never_list) > RANGES_IN_PROSE:
        own += f" and {len(guard.never_list) - RANGES_IN_PROSE:,} more"
    text = f"""
        Reserved addresses and the ranges that we allow ({own}) are never listed. A listing also
        blocks wanted mail: one is held for an operator if all listings together would block more
        than {percent(guard.hold_share)} of normal mail, or in the first
        {duration(guard.first_day_s)} of the log those for one domain more than
        {percent(guard.victim_hold_share)}, from {many(LEAST, "message")} on. Operators are alerted
        above {percent(guard.alert_share)}, or {percent(guard.victim_alert_share)} for one domain.
        Each listing is kept with its evidence, its victim masked."""
    return Section("How mistakes are limited", (text,))


def _repeated(quiet_s: int, repeats: int, policy: Policy) -> int:
    """Give the quiet that a listing needs after so many earlier ones."""
    return int(min(quiet_s * 2**repeats, max(policy.listing.most_quiet_s, quiet_s)))


def _rounded(share: float) -> str:
    return percent(float(f"{share:.2g}"))


def _toml(value: bool | float | str | Sequence[str]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value)
