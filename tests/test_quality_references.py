from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.quality_listings import DAY_MS, oracle, references
from benchmarks.quality_score import score
from tests.quality_story import FLOOD, NEWSLETTER, NORMAL, VICTIM, A, B, C, D, Story, only


def reference(story: Story, name: str) -> dict[str, list[int]]:
    """Give when a reference lists whom."""
    traffic = story.traffic()
    (found,) = [one for one in references(traffic) if one.name.startswith(name)]
    starts: dict[str, list[int]] = {}
    for at, start in zip(found.source.tolist(), found.start_ms.tolist(), strict=True):
        starts.setdefault(traffic.subjects[at], []).append(start)
    return starts


def test_ip_above_30_a_minute_lists_at_the_31st_message_within_60_s() -> None:
    story = Story()
    for number in range(31):
        story.mail(number * 1_999, A)
        story.mail(number * 2_000, B)
    assert reference(story, "IP") == {A: [59_970]}


def test_victim_above_30_a_minute_lists_all_sources_of_that_minute() -> None:
    """31 messages within a minute, at 60 s: C at 1 s is in its window, D at 0 s is not."""
    story = Story()
    story.mail(0, D)
    story.mail(1_000, C)
    for number in range(28):
        story.mail(10_000 + number, A)
    story.mail(60_000, A)
    story.mail(60_000, B)
    assert reference(story, "victim") == {A: [60_000], B: [60_000], C: [60_000]}


def test_fail2ban_lists_at_the_fifth_message_within_10_min() -> None:
    story = Story()
    for time in (0, 1, 2, 3, 599_999):
        story.mail(time, A)
    for time in (0, 1, 2, 3, 600_000):
        story.mail(time, B)
    assert reference(story, "fail2ban") == {A: [599_999]}


def test_the_leak_overflows_at_the_sixth_message_not_leaked_away() -> None:
    story = Story()
    for time in (0, 0, 0, 0, 0, 9_999):
        story.mail(time, A)
    for time in (0, 0, 0, 0, 0, 10_000, 20_000, 30_000):
        story.mail(time, B)
    assert reference(story, "leak") == {A: [9_999]}


def test_a_listing_of_a_reference_lasts_24_h_and_can_come_again() -> None:
    story = Story()
    for time in (0, 0, 0, 0, 0, DAY_MS, DAY_MS, DAY_MS, DAY_MS, DAY_MS, DAY_MS + 1):
        story.mail(time, A)
    traffic = story.traffic()
    (fail2ban,) = [one for one in references(traffic) if one.name.startswith("fail2ban")]
    assert fail2ban.start_ms.tolist() == [0, DAY_MS + 1]
    blocked = fail2ban.blocks(traffic.source, traffic.time_ms)
    assert blocked.tolist() == [False] * 5 + [True] * 5 + [False]


@dataclass
class Slow:
    """The same rules, one message after the other, with nothing but loops."""

    rows: list[tuple[int, str, str, int]]

    def __post_init__(self) -> None:
        self.rows = sorted(self.rows, key=lambda row: row[0])

    def oracle(self) -> dict[str, int]:
        starts: dict[str, int] = {}
        flood = [row for row in self.rows if row[3] == FLOOD]
        for number, (time, _, _, _) in enumerate(flood, 1):
            if number == 30:
                for _, ip, _, _ in flood[:30]:
                    starts.setdefault(ip, time + 1_000)
            elif number > 30:
                starts.setdefault(flood[number - 1][1], time + 1_000)
        return starts

    def sliding(self, column: int, messages: int, span_ms: int) -> dict[str, int]:
        starts: dict[str, int] = {}
        for at, row in enumerate(self.rows):
            window = [
                one
                for one in self.rows[: at + 1]
                if one[column] == row[column] and one[0] > row[0] - span_ms
            ]
            if len(window) >= messages:
                for one in window:
                    starts.setdefault(one[1], row[0])
        return starts

    def leak(self) -> dict[str, int]:
        starts: dict[str, int] = {}
        level: dict[str, tuple[float, int]] = {}
        for time, ip, _, _ in self.rows:
            before, then = level.get(ip, (0.0, time))
            now = max(0.0, before - (time - then) / 10_000)
            if now + 1 > 5 + 1e-9:
                starts.setdefault(ip, time)
                level[ip] = now, time
            else:
                level[ip] = now + 1, time
        return starts

    def blocked(self, starts: dict[str, int]) -> list[tuple[int, str, str, int]]:
        return [row for row in self.rows if row[1] in starts and row[0] > starts[row[1]]]


runs = st.lists(
    st.tuples(
        st.sampled_from([A, B, C, D]),
        st.sampled_from([VICTIM, "other@example.org"]),
        st.sampled_from([NORMAL, FLOOD, FLOOD, NEWSLETTER]),
        st.integers(0, 100_000),
        st.integers(1, 40),
        st.sampled_from([0, 1, 999, 1_000, 1_999, 2_000, 9_999, 10_000, 60_000]),
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(runs)
def test_the_fast_scores_are_those_of_plain_loops(
    chosen: list[tuple[str, str, int, int, int, int]],
) -> None:
    rows = [
        (start + number * gap, ip, to, of)
        for ip, to, of, start, count, gap in chosen
        for number in range(count)
    ]
    story = Story()
    for time, ip, to, of in rows:
        story.mail(time, ip, to, of)
    slow, traffic = Slow(rows), story.traffic()
    expected = [
        slow.oracle(),
        slow.sliding(1, 31, 60_000),
        slow.sliding(2, 31, 60_000),
        slow.sliding(1, 5, 600_000),
        slow.leak(),
    ]
    best = oracle(traffic)
    guilty = {ip for _, ip, _, of in rows if of == FLOOD}
    for listings, starts in zip((best, *references(traffic)), expected, strict=True):
        listed = [traffic.subjects[at] for at in listings.source.tolist()]
        assert dict(zip(listed, listings.start_ms.tolist(), strict=True)) == starts
        blocked = slow.blocked(starts)
        result = score(traffic, listings, best)
        assert only(result).stopped == sum(of == FLOOD for _, _, _, of in blocked)
        assert result.blocked_innocent == sum(ip not in guilty for _, ip, _, of in blocked)
        legitimate = [row for row in blocked if row[3] != FLOOD]
        assert result.blocked_innocent + result.blocked_guilty == len(legitimate)
        assert result.must_not.listed == len(
            {ip for _, ip, _, of in rows if of == NEWSLETTER and ip not in guilty} & starts.keys()
        )
