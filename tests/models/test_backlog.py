"""The backlog of our own outage: counted in silence, paid off by the flush, then forgotten."""

from random import Random

from detector.models.backlog import Backlog
from tests.days import HOUR, MINUTE, Days, listed

USUAL = 200.0


def after(minutes: list[float]) -> Backlog:
    """Learn minutes that brought these parts of the usual mail."""
    backlog = Backlog()
    for part in minutes:
        backlog.learn_one(round(part * USUAL), USUAL)
    return backlog


def test_silence_is_owed_and_a_flush_pays_it_back() -> None:
    assert after([1.0] * 60).catch_up_s == 0
    assert after([0.0] * 40).catch_up_s == 40 * 60
    assert after([0.0] * 40 + [41.0]).catch_up_s == 40 * 60  # still in windows of ten minutes
    assert after([0.0] * 40 + [41.0] + [1.0] * 11).catch_up_s < MINUTE
    assert after([0.0] * 40 + [1.0] * 240).catch_up_s < MINUTE  # nobody sent it again


def test_nothing_is_owed_while_the_usual_is_unknown_and_never_more_than_six_hours() -> None:
    backlog = Backlog()
    backlog.learn_one(0, 0.0)
    assert backlog.catch_up_s == 0
    assert after([0.0] * 1_000).catch_up_s == 6 * HOUR


def test_a_backlog_comes_back_from_its_state() -> None:
    for minutes in ([], [0.0] * 5, [0.0] * 9 + [4.0, 1.0]):
        backlog = after(minutes)
        again = Backlog.restored(backlog.state())
        for part in (0.0, 1.0, 7.0):
            backlog.learn_one(round(part * USUAL), USUAL)
            again.learn_one(round(part * USUAL), USUAL)
            assert again.catch_up_s == backlog.catch_up_s


def test_what_comes_at_once_after_an_outage_is_no_flood() -> None:
    """75 minutes without mail, all of which then comes within two, to a busy mailbox as well.

    Where everybody else gets his mail in time the same burst at the busy one is a flood.
    """
    begin, length = 3 * HOUR, 75 * MINUTE
    for outage in (True, False):
        days, rng = Days(), Random(7)
        for i in range(5 * HOUR // 2):
            times = [(2.0 * i, f"198.18.{rng.randrange(90)}.7", f"u{rng.randrange(400)}")]
            if i % 8 == 0:
                times.append((2.0 * i, f"198.18.{rng.randrange(40)}.9", "sales"))
            for at, ip, who in times:
                if begin <= at < begin + length and (outage or who == "sales"):
                    at = begin + length + (at - begin) * 2 * MINUTE / length  # noqa: PLW2901
                days.mail(at, ip, f"{who}@shop.example", sender=f"x@{who}.example")
        assert bool(listed(days, 6 * HOUR)) == (not outage)
