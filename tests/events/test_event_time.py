"""Event times, against `datetime`."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.events.event_time import BAD_TIME, LATEST_MS, time_fault, times_ms

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
zones = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda m: timezone(timedelta(minutes=m)))
moments = st.datetimes(
    min_value=datetime(1970, 1, 2), max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=zones | st.just(UTC),
)  # fmt: skip


def spelled(moment: datetime, digits: int, mark: str, *, zulu: bool) -> str:
    fraction = f".{moment.microsecond:06d}"[: digits + 1] if digits else ""
    zone = moment.strftime("%z")
    end = "Z" if zulu and moment.utcoffset() == timedelta() else f"{zone[:3]}:{zone[3:]}"
    return moment.strftime(f"%Y-%m-%d{mark}%H:%M:%S").rjust(19, "0") + fraction + end


def milliseconds(moment: datetime, digits: int) -> int:
    cut = moment.microsecond // 1000 if digits else 0
    cut -= cut % 10 ** max(0, 3 - digits)
    whole: int = (moment.replace(microsecond=0) - EPOCH) // timedelta(milliseconds=1)
    return whole + int(cut)


@given(st.data())
def test_rfc_3339_is_read_as_datetime_reads_it(data: st.DataObject) -> None:
    texts, want = [], []
    for _ in range(data.draw(st.integers(1, 8))):
        moment = data.draw(moments)
        digits = data.draw(st.integers(0, 6))
        mark = data.draw(st.sampled_from("Tt "))
        texts.append(spelled(moment, digits, mark, zulu=data.draw(st.booleans())))
        want.append(milliseconds(moment, digits))
    assert times_ms(texts).tolist() == want


BAD = [
    "", "now", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z", "2026-13-01T00:00:00Z",
    "2026-02-29T00:00:00Z", "2026-00-10T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z",
    "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z", "2026-01-01T00:00:00+24:00",
    "2026-01-01T00:00:00+00:60", "2026-01-01T00:00:00+00",
    "2026-01-01T00:00:00,5Z", "2026-01-01X00:00:00Z", "20260101T000000Z", "2026-W01-1T00:00:00Z",
    "1969-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "٢026-01-01T00:00:00Z", "+2026-01-01T00:00:0Z",
    "2026-01-01T00:00:00Z ", " 2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z\n", "2026-1-1T0:0:0Z",
    "2026-01-01T00:00:00\x00Z", "2026-01-01T00:00:00Ż", "9" * 1_000_000,
    "2026-01-01T00:00:00." + "9" * 100_000, -1, LATEST_MS, 10**30, -(10**30), None, True, 1.5,
    float("nan"), [], {}, b"2026-01-01T00:00:00Z",
]  # fmt: skip
GOOD: list[tuple[object, int]] = [
    (0, 0),
    ("2026-01-01T01:00:00+0100", 1_767_225_600_000),
    ("2026-01-01T00:00:00.250+0000", 1_767_225_600_250),
    (LATEST_MS - 1, LATEST_MS - 1),
    ("1970-01-01T00:00:00Z", 0),
    ("1969-12-31T23:30:00.5-00:45", 900_500),
    ("2024-02-29T00:00:00z", 1_709_164_800_000),
    ("2016-12-31T23:59:60Z", 1_483_228_800_000),
    ("2026-01-01T00:00:00.9999Z", 1_767_225_600_999),
    ("2026-01-01 00:00:00.5+01:00", 1_767_225_600_500 - 3_600_000),
    ("2026-01-01T00:00:00." + "1" * 100_000 + "Z", 1_767_225_600_111),
]


@pytest.mark.parametrize("value", BAD, ids=lambda value: repr(value)[:40])
def test_what_is_no_time_is_told(value: object) -> None:
    assert times_ms([value]).tolist() == [BAD_TIME]


@pytest.mark.parametrize(("value", "want"), GOOD, ids=lambda value: repr(value)[:40])
def test_edges_of_what_is_a_time(value: object, want: int) -> None:
    assert times_ms([value]).tolist() == [want]


mixed = st.sampled_from([*BAD, *(value for value, _ in GOOD)])
alike = st.text(alphabet="0123456789-:.TtZz+ ٢é", min_size=20, max_size=26)


@given(st.lists(mixed | alike | st.integers(), max_size=30))
def test_a_value_reads_the_same_whatever_stands_beside_it(values: list[object]) -> None:
    """Batches are split anywhere, so a neighbour must never change what a text means."""
    want = [int(times_ms([value])[0]) for value in values]
    found = times_ms(values)
    assert found.dtype == np.int64
    assert found.tolist() == want


def test_texts_that_only_add_up_to_times_are_none() -> None:
    good = "2026-01-01T00:00:00.000Z"
    assert times_ms([good + good, "", good]).tolist()[:2] == [BAD_TIME, BAD_TIME]


def test_no_times_are_no_times() -> None:
    assert times_ms([]).tolist() == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1_773_492_744, 'looks like seconds: multiply by 1,000, or set source.time_unit = "s"'),
        (1_773_492_744.976, "looks like seconds"),
        (1_773_492_744_976_123, "looks like microseconds: divide by 1,000"),
        (1_773_492_744_976_123_456, "looks like nanoseconds: divide by 1,000,000"),
        (1_773_492_744_976.5, "leave the fraction out"),
        (1, "from the year 2000 on"),
        ("1999-12-31T23:59:59Z", "from the year 2000 on"),
        ("2026-01-01T00:00:00", "with an offset"),
        (float("inf"), "want RFC 3339"),
        (None, "want RFC 3339"),
    ],
)
def test_a_time_in_another_unit_is_named_with_what_to_do(value: object, said: str) -> None:
    assert said in time_fault(value)
