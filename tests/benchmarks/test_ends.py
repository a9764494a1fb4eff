"""Early and late ends of listings, by a truth that is written by hand; and what a pool costs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.matrix import traffics
from benchmarks.matrix.cost import outcome, read_held
from benchmarks.matrix.ends import attempts, judged, read_spans
from benchmarks.quality_listings import Listings
from benchmarks.quality_traffic import Group, Traffic
from benchmarks.scenes.days import BOMBS, draw_days
from benchmarks.scenes.weapon import draw_weapon

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
A, B = "192.0.2.7", "198.51.100.9"


def traffic(*flood: tuple[int, int, int], shape: str = "direct", wide: bool = False) -> Traffic:
    """Give messages (time, source, mailbox) of one flood, and one of others a week later."""
    rows = sorted([*flood, (7 * DAY_MS, 1, 9)])
    kinds = [int((row[2]) == 9) for row in rows]
    normal = Group(1, "normal", "normal", "normal", (), None, False, 0, 0)
    domain = "shop.example" if wide else None
    group = Group(2, "flood", shape, "the flood", ("ann@shop.example",), domain, True, 0, 0)
    time_ms, source, mailbox = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    return Traffic(
        groups=(group, normal), subjects=(A, B), mailboxes=tuple(f"m{i}" for i in range(10)),
        time_ms=time_ms, source=source, mailbox=mailbox, group=np.array(kinds, np.int64),
        guilty=np.array([True, False]), must_not=np.zeros(2, np.bool_),
        lines=len(rows), connects=0, outbound=0, unread=0,
    )  # fmt: skip


def decided(tmp_path: Path, *changes: tuple[str, int, dict[str, Any]]) -> Path:
    """Write changes (kind, time, more) of one source as a decision file."""
    path, lines = tmp_path / "decisions.ndjson", []
    for change, time_ms, more in changes:
        one = {
            "change": change, "time": time_ms, "subject": A, "shadow": False, "tier": "temporary",
            "last_seen": time_ms, "until": time_ms + DAY_MS, "hard_until": time_ms + 3 * DAY_MS,
            "evidence": {}, **more,
        }  # fmt: skip
        lines.append(json.dumps(one))
    path.write_text("\n".join(lines) + "\n")
    return path


def expiry(time_ms: int, last_seen: int, reason: str = "quiet") -> tuple[str, int, dict[str, Any]]:
    kind = "remove" if reason == "withdrawn" else "expire"
    return kind, time_ms, {"last_seen": last_seen, "evidence": {"reason": reason}}


def test_attempts_count_from_thirty_an_hour_at_a_mailbox_and_sixty_at_a_domain() -> None:
    one = traffic(*[(i * 1_000, 0, 0) for i in range(31)], (2 * HOUR_MS, 0, 0))
    assert attempts(one).tolist() == [False] * 29 + [True] * 2 + [False] * 2
    spread = [(i * 1_000, 0, i % 8) for i in range(61)]
    assert attempts(traffic(*spread)).sum() == 0
    assert attempts(traffic(*spread, wide=True)).sum() == 2


def test_an_end_within_the_quiet_of_an_attempt_is_early(tmp_path: Path) -> None:
    """Quiet doubles with a repeat; a withdrawn listing is neither early nor a repeat."""
    flood = [(i * 1_000, 0, 0) for i in range(40)]
    last = 39_000
    for end, early in ((last + DAY_MS - 60_000, 1), (last + DAY_MS + 10_000, 0)):
        path = decided(tmp_path, ("list", 31_000, {}), expiry(end, last))
        found = judged(traffic(*flood), read_spans(path))
        assert (found.early, found.late, found.ended) == (early, 0, 1)
    again: list[tuple[str, int, dict[str, Any]]]
    again = [("list", 31_000, {}), ("list", 35_000, {})]
    end = last + DAY_MS + 10_000
    first, second = expiry(33_000, last, "withdrawn"), expiry(end, last)
    found = judged(
        traffic(*flood), read_spans(decided(tmp_path, again[0], first, again[1], second))
    )
    assert (found.early, found.withdrawn, found.listings) == (0, 1, 2)
    first = expiry(33_000, last, "request")
    found = judged(
        traffic(*flood), read_spans(decided(tmp_path, again[0], first, again[1], second))
    )
    assert (found.early, found.shapes) == (1, {"direct": 1})


@pytest.mark.parametrize(("minutes", "late"), [(1, 0), (4, 1)])
def test_a_listing_that_outlasts_its_quiet_is_late(tmp_path: Path, minutes: int, late: int) -> None:
    one = traffic(*[(i * 59_000, 0, 0) for i in range(3_000)])
    path = decided(
        tmp_path, ("list", 31_000, {}), expiry(31_000 + DAY_MS + minutes * 60_000, 31_000)
    )
    assert judged(one, read_spans(path)).late == late


def test_one_that_stands_when_the_log_ends_is_late_after_its_until(tmp_path: Path) -> None:
    """What was not observed is no quiet."""
    silent = traffic(*[(i * 1_000, 0, 0) for i in range(40)])
    assert judged(silent, read_spans(decided(tmp_path, ("list", 31_000, {})))).late == 0
    busy = traffic(*[(i * 59_000, 0, 0) for i in range(3_000)])
    assert judged(busy, read_spans(decided(tmp_path, ("list", 31_000, {})))).late == 1


def test_what_the_listings_of_a_flood_cost_others(tmp_path: Path) -> None:
    """Mail to the attacker's own mailbox is none of others; what is held says why."""
    rows = [(i * 1_000, 0, 0) for i in range(40)]
    one = traffic(*rows, shape="weapon")
    others = [(50_000 + i, 0, 9) for i in range(4)]
    both = traffic(*rows, *others, shape="weapon")
    listings = Listings.of("x", [(0, 32_000, 50_001)])
    assert outcome(one, listings).blocked == 0
    result = outcome(both, listings)
    assert (result.others, result.blocked, result.blocked_share) == (4, 2, 0.5)
    cost = {"expected_messages": 0.0, "alert": True}
    held = decided(tmp_path, ("hold", 1, {"evidence": {"collateral": cost}}))
    seen = read_held(held)
    assert (seen.held, seen.without_reason, seen.without_mail, seen.alerts) == (1, 1, 1, 1)


def test_scenes_are_the_same_for_the_same_seed_and_have_their_floods() -> None:
    first, again = draw_days(3, 20_000, 30.0), draw_days(3, 20_000, 30.0)
    assert np.array_equal(first.rows.time_ms, again.rows.time_ms)
    shapes = [group.shape for group in first.groups]
    assert shapes[-len(BOMBS) :] == list(BOMBS)
    longest = max(group.end_ms - group.start_ms for group in first.groups[-len(BOMBS) :])
    assert longest > 6 * HOUR_MS
    weapon = draw_weapon(3, 10_000, 6.0, "domain")
    (flood,) = [group for group in weapon.groups if group.kind == "flood"]
    assert flood.victim_domain is not None
    assert all(victim.endswith(f"@{flood.victim_domain}") for victim in flood.victims)
    assert 6 * HOUR_MS <= flood.start_ms - weapon.horizon.start_ms < 7 * HOUR_MS


def test_a_scenes_version_follows_its_own_code_and_the_generators() -> None:
    assert len({traffics.version(one) for one in (*traffics.GENERATORS, "days")}) == 3
    assert traffics.version("days") == traffics.version("weapon")
