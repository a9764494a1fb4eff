"""Simulated traffic as SMTP sessions: one connection a message, its recipients and their fate."""

from dataclasses import dataclass, replace

import numpy as np

from detector.events.contract import OUTBOUND, Outcome
from pipelines.simulate.columns import as_ints
from pipelines.simulate.traffic import TrafficResult

__all__ = ["Letter", "for_postfix", "letters"]


@dataclass(frozen=True, slots=True)
class Letter:
    """One message to send: from where, to whom, what to answer, and the rows it stands for."""

    index: int
    time_ms: int
    client_ip: str
    client_name: str | None
    helo: str
    sender: str
    recipients: tuple[tuple[str, int], ...]
    rows: tuple[int, ...]

    @property
    def verdict(self) -> int:
        """The outcome decided on the whole message after its data (0: accepted)."""
        for _, outcome in self.recipients:
            if outcome in (Outcome.REJECT_CONTENT, Outcome.DEFER_CONTENT):
                return outcome
        return 0


def for_postfix(result: TrafficResult) -> TrafficResult:
    """Give the part of the traffic that an MTA can be made to log, in time order, on one host.

    Left out: outbound mail, clients rejected at connect, repeats of a recipient in one message.
    Silently discarded mail becomes accepted. A message with several recipients has no verdict on
    its content.
    """
    rows = result.rows
    wanted = (rows.recipient >= 0) & (rows.outcome < OUTBOUND)
    key = np.stack([rows.message, rows.recipient], axis=1)
    _, first = np.unique(key, axis=0, return_index=True)
    repeated = rows.message >= 0
    repeated[first] = False
    kept = np.flatnonzero(wanted & ~repeated)
    order = kept[np.lexsort((kept, rows.message[kept], rows.time_ms[kept]))]
    chosen = rows.take(as_ints(order))
    outcome = chosen.outcome
    outcome[outcome == int(Outcome.DISCARD)] = 0
    judged = (outcome == int(Outcome.REJECT_CONTENT)) | (outcome == int(Outcome.DEFER_CONTENT))
    outcome[(chosen.message >= 0) & judged] = 0
    group = result.group[order]
    counts = np.bincount(group, minlength=len(result.groups)).tolist()
    groups = tuple(replace(g, events=counts[g.id]) for g in result.groups)
    return replace(
        result,
        rows=chosen,
        group=group,
        arrival_ms=chosen.time_ms.copy(),
        host=as_ints(np.zeros(len(chosen))),
        groups=groups,
    )


def letters(result: TrafficResult) -> list[Letter]:
    """Give the messages of traffic made by `for_postfix`, in time order."""
    rows, texts, ips = result.rows, result.world.texts.texts, result.world.network.ips
    found: list[list[int]] = []
    last = -1
    for at, message in enumerate(rows.message.tolist()):
        if message >= 0 and message == last:
            found[-1].append(at)
        else:
            found.append([at])
        last = message
    made = []
    for index, members in enumerate(found):
        head = members[0]
        ip = int(rows.ip[head])
        name = f"mail{ip % 97}.h{ip}.test"
        made.append(
            Letter(
                index=index,
                time_ms=int(rows.time_ms[head]),
                client_ip=ips[ip],
                client_name=name if ip % 5 else None,
                helo=name,
                sender=texts[int(rows.sender[head])] if rows.sender[head] >= 0 else "",
                recipients=tuple(
                    (texts[int(rows.recipient[at])], int(rows.outcome[at])) for at in members
                ),
                rows=tuple(members),
            )
        )
    return made
