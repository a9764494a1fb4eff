"""The stage on which one flood or pattern is drawn: how many messages, where, and at whom."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from pipelines.simulate.columns import IntArray, as_ints
from pipelines.simulate.names import tokens
from pipelines.simulate.timing import MINUTE_MS, Horizon, Wave
from pipelines.simulate.world import World

__all__ = ["Scene"]

_POPULAR = 60


@dataclass(frozen=True, slots=True)
class Scene:
    """A budget of `size` messages in the horizon; `opening_ms` fixes the start where it is set."""

    rng: Generator
    world: World
    wave: Wave
    size: int
    opening_ms: int | None = None

    @property
    def horizon(self) -> Horizon:
        """The simulated span."""
        return self.wave.horizon

    def window(self, rate_per_min: float, most: float = 0.7) -> tuple[int, int, float]:
        """Give `(count, start_ms, span_ms)` of a stretch at that rate within the budget.

        The stretch takes at most the part `most` of the horizon; then fewer messages fit. One
        flood in ten is cut by the end of the log.
        """
        room = self.horizon.span_ms * most
        if self.opening_ms is not None:
            room = min(room, self.horizon.end_ms - self.opening_ms)
        span = min(self.size / rate_per_min * MINUTE_MS, room)
        count = max(int(span / MINUTE_MS * rate_per_min), min(60, self.size))
        start = self.opening_ms
        if start is None:
            cut = 0.5 if self.rng.random() < 0.1 else 1.0  # noqa: PLR2004
            start = self.horizon.place(self.rng, span * cut)
        return count, start, span

    def victims(self, count: int, popular: float = 0.7) -> IntArray:
        """Draw positions of `count` different mailboxes; the share `popular` get much mail."""
        rng, weight = self.rng, self.world.customers.weight
        count = min(count, len(weight) // 2)
        top = np.argsort(-weight, kind="stable")[: max(_POPULAR, 2 * count)]
        busy = rng.random(count) < popular
        found = np.where(
            busy,
            rng.choice(top, size=count, replace=False),
            rng.choice(len(weight), size=count, replace=False),
        )
        return as_ints(np.unique(found))

    def at(self, boxes: IntArray) -> IntArray:
        """Give the recipient of each entry of `boxes`; some senders use plus addresses."""
        world, rng = self.world, self.rng
        recipient = world.customers.mailbox[boxes]
        if rng.random() < 0.1:  # noqa: PLR2004
            tagged = np.flatnonzero(rng.random(len(boxes)) < rng.uniform(0.05, 0.6))
            mark = tokens(rng, len(tagged), 4)
            texts = []
            for index, tag in zip(recipient[tagged].tolist(), mark, strict=True):
                local, _, domain = world.texts.texts[index].partition("@")
                texts.append(f"{local}+{tag}@{domain}")
            recipient[tagged] = world.texts.add_all(texts)
        return recipient

    def names(self, boxes: IntArray) -> tuple[str, ...]:
        """Give the addresses of the mailboxes at positions `boxes`."""
        texts = self.world.texts.texts
        return tuple(texts[i] for i in self.world.customers.mailbox[boxes].tolist())
