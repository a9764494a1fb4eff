"""A store opened for reading: its time, its policy, names of networks."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from detector.policy.settings import Policy
from detector.policy.text import policy_from_json
from pipelines import clock
from pipelines.cli.shown import network
from pipelines.ports import BlockStore, Listing
from pipelines.stores import open_store

__all__ = ["Stored", "listing_json", "opened", "shown_state"]


class Stored:
    """A store and the facts that were kept with its changes."""

    def __init__(self, store: BlockStore) -> None:
        self.store = store
        watermark = store.fact("watermark_ms")
        self.live = store.fact("live") == "1"
        """Whether a running detector keeps it current (or did, and is to come back)."""
        watermark_ms = int(watermark) if watermark is not None else 0
        self.now_ms = max(watermark_ms, clock.now_ms()) if self.live else watermark_ms
        """The store's time: how far its log has been followed (0 before the first close), and the
        time of day where that log goes on."""
        self._names: Mapping[str, str] = json.loads(store.fact("asn_names") or "{}")

    def policy(self) -> Policy:
        """Give the policy by which the store's changes were decided."""
        text = self.store.fact("policy")
        return Policy() if text is None else policy_from_json(text, "policy of the store")

    def network(self, asn: int | None, provider: str) -> str:
        """Say to whom an address belongs."""
        return network(asn, self._names.get(str(asn), ""), provider)

    def state(self, subject: str) -> tuple[str, Listing | None]:
        """Give "listed", "held" or "not listed", and the listing."""
        listing = self.store.get(subject, self.now_ms)
        if listing is not None:
            return "listed", listing
        held = next((one for one in self.store.held(self.now_ms) if one.subject == subject), None)
        return ("held", held) if held is not None else ("not listed", None)


def shown_state(state: str, listing: Listing | None) -> str:
    """Give the state in words: a listing in shadow mode blocks nothing."""
    shadow = listing is not None and listing.shadow
    return f"{state} in shadow mode (recorded, not published)" if shadow else state


@contextmanager
def opened(url: str, *, read_only: bool = True) -> Iterator[Stored]:
    """Open the store of an address and close it afterwards."""
    store = open_store(url, read_only=read_only)
    try:
        yield Stored(store)
    finally:
        store.close()


def listing_json(listing: Listing) -> dict[str, Any]:
    """Give a listing as plain values, times in Unix milliseconds as in a decision."""
    return {
        "subject": listing.subject,
        "tier": listing.tier,
        "rule": listing.rule,
        "asn": listing.asn,
        "provider": listing.provider,
        "since": listing.listed_ms,
        "first_seen": listing.first_seen_ms,
        "last_seen": listing.last_seen_ms,
        "until": listing.until_ms,
        "hard_until": listing.hard_until_ms,
        "policy": listing.policy,
        "shadow": listing.shadow,
        "seq": listing.seq,
    }
