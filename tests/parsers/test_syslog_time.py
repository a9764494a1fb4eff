from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.parsers.syslog_time import SyslogTime

TIMES = st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30))  # noqa: DTZ001 - UTC is added


def ms(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def read(line: bytes, reference: datetime, offset_s: int = 0) -> int | None:
    prefix = SyslogTime(ms(reference), offset_s).read(line)
    return None if prefix is None else prefix.time_ms


@given(TIMES, st.timedeltas(timedelta(0), timedelta(days=363)))
def test_a_date_without_a_year_is_the_latest_that_is_plausible(
    reference: datetime, ago: timedelta
) -> None:
    reference = reference.replace(tzinfo=UTC)
    moment = (reference - ago).replace(microsecond=0)
    line = moment.strftime("%b %e %H:%M:%S mx1 x").encode()
    assert read(line, reference) == ms(moment)


def test_a_log_runs_over_new_year() -> None:
    reference = datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
    times = [b"Dec 31 23:59:59 mx1 x", b"Jan  1 00:00:00 mx1 x", b"Jan  1 00:04:59 mx1 x"]
    told = [read(line, reference) for line in times]
    assert told == [ms(reference) - 301_000, ms(reference) - 300_000, ms(reference) - 1_000]


def test_a_clock_a_little_ahead_is_not_a_year_behind() -> None:
    reference = datetime(2025, 12, 31, 23, 59, tzinfo=UTC)
    assert read(b"Jan  1 00:00:01 mx1 x", reference) == ms(reference) + 61_000
    assert read(b"Jan  2 00:00:01 mx1 x", reference) == ms(
        datetime(2025, 1, 2, 0, 0, 1, tzinfo=UTC)
    )


def test_a_leap_day_is_in_a_leap_year() -> None:
    reference = datetime(2027, 3, 1, tzinfo=UTC)
    assert read(b"Feb 29 12:00:00 mx1 x", reference) == ms(datetime(2024, 2, 29, 12, tzinfo=UTC))


def test_the_offset_is_for_times_without_a_zone() -> None:
    reference = datetime(2026, 7, 1, tzinfo=UTC)
    noon = ms(datetime(2026, 6, 1, 12, tzinfo=UTC))
    assert read(b"Jun  1 14:00:00 mx1 x", reference, 7_200) == noon
    assert read(b"2026-06-01T14:00:00 mx1 x", reference, 7_200) == noon
    assert read(b"2026-06-01T12:00:00Z mx1 x", reference, 7_200) == noon
    assert read(b"2026-06-01T12:00:00.000000+00:00 mx1 x", reference, 7_200) == noon


@given(TIMES, st.integers(-14 * 60, 14 * 60), st.sampled_from(["", "<22>", "<22>1 "]))
def test_rfc_3339_is_read_as_python_reads_it(moment: datetime, east: int, before: str) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=east)))
    line = f"{before}{zoned.isoformat(timespec='microseconds')} mx1 x".encode()
    assert read(line, moment.replace(tzinfo=UTC)) == ms(zoned)


@given(st.lists(st.tuples(TIMES, st.integers(0, 5), st.sampled_from(["mx1", "mx2"])), max_size=30))
def test_what_came_before_changes_no_time(lines: list[tuple[datetime, int, str]]) -> None:
    shared = SyslogTime(ms(datetime(2100, 1, 1, tzinfo=UTC)))
    for moment, shape, host in lines:
        near = moment.replace(year=2099, month=1, day=3, hour=1, minute=moment.minute % 3)
        line = [
            near.strftime(f"%b %e %H:%M:%S {host} x"),
            near.strftime(f"%b %e %H:%M:%S.%f {host} x"),
            f"{near.isoformat(timespec='microseconds')}Z {host} x",
            f"{near.isoformat(timespec='milliseconds')}+01:00 {host} x",
            f"{near.isoformat(timespec='seconds')}Z {host} x",
            near.strftime(f"%Y-%m-%dT%H:%M:%S.5Z {host} x"),
        ][shape].encode()
        alone = SyslogTime(ms(datetime(2100, 1, 1, tzinfo=UTC))).read(line)
        assert alone is not None
        assert shared.read(line) == alone


@pytest.mark.parametrize(
    ("line", "body"),
    [
        (b"Nov 4 07:17:47 mx1 x", b"x"),
        (b"Nov 04 07:17:47 mx1 x", b"x"),
        (b"Nov  4 2026 07:17:47 mx1 x", b"x"),
        (b"Nov 4 2026 07:17:47.000 mx1 x", b"x"),
        (b"Nov  4 07:17:47 <mail.info> mx1 x", b"x"),
        (b"Nov  4 07:17:47 <2.6> mx1 x", b"x"),
        (b"Nov  4 07:17:47 mx1 mail:info x", b"x"),
        (b"Nov  4 07:17:47 mx1 mail.notice x", b"x"),
        (b"2026-11-04T08:17:47+0100 mx1 x", b"x"),
        (b"2026-11-04T07:17:47,000Z mx1 x", b"x"),
        (b"2026-11-04 07:17:47+00:00 mx1 x", b"x"),
        (b"Nov  4 07:17:48 relay 1 2026-11-04T07:17:47Z mx1 x", b"x"),
        (b"Nov  4 07:17:48 relay <22>1 2026-11-04T07:17:47.000Z mx1 x", b"x"),
        (b"2026-11-04T07:17:48Z relay <22>Nov  4 07:17:47 mx1 x", b"x"),
        (b"<22>1 2026-11-04T07:17:49Z b Nov  4 07:17:48 a Nov  4 07:17:47 mx1 x", b"x"),
        (b"Nov  4 07:17:47 mx1 x Nov  5 07:17:47 mx2 y", b"x Nov  5 07:17:47 mx2 y"),
    ],
)
def test_each_form_of_a_prefix_gives_its_time_and_host(line: bytes, body: bytes) -> None:
    reader = SyslogTime(ms(datetime(2026, 12, 1, tzinfo=UTC)))
    for _ in range(2):  # the second time from what the first one shares with it
        prefix = reader.read(line)
        assert prefix is not None
        assert prefix.time_ms == ms(datetime(2026, 11, 4, 7, 17, 47, tzinfo=UTC))
        assert (prefix.host, line[prefix.body :]) == (b"mx1", body)


def test_a_log_of_more_than_a_year_without_years_is_noticed() -> None:
    reader = SyslogTime(ms(datetime(2026, 12, 1, tzinfo=UTC)))
    assert reader.read(b"Nov 30 23:59:59 mx1 x") is not None
    assert reader.read(b"Jul  1 00:00:00 mx1 x") is not None  # files in the wrong order, perhaps
    assert reader.read(b"Dec 31 00:00:00 mx1 x") is None
    assert reader.year_unclear
    assert reader.read(b"Dec 31 2025 00:00:00 mx1 x") is not None
    assert reader.read(b"2025-12-31T00:00:00Z mx1 x") is not None
    assert reader.read(b"rubbish") is None
    assert not reader.year_unclear


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"Nov 24 07:17:47",
        b"Nov 24 07:17:47 ",
        b"Nov 24 24:17:47 mx1 x",
        b"Nov 24 07:60:47 mx1 x",
        b"Nov 31 07:17:47 mx1 x",
        b"Nov  0 07:17:47 mx1 x",
        b"Nop 24 07:17:47 mx1 x",
        b"nov 24 07:17:47 mx1 x",
        b"Nov 24 07:17:47 mx[1] x",
        b"2026-13-24T07:17:47Z mx1 x",
        b"2026-02-30T07:17:47Z mx1 x",
        b"2026-11-24T07:17:47+25:00 mx1 x",
        b"2026-11-24T07:17:47.Z mx1 x",
        b"1969-11-24T07:17:47Z mx1 x",
        b"0000-11-24T07:17:47Z mx1 x",
        b"<22>1 - mx1 x",
        b"\xef\xbb\xbfNov 24 07:17:47 mx1 x",
        "٢٠٢٦-11-24T07:17:47Z mx1 x".encode(),
    ],
)
def test_what_is_no_prefix_is_none(line: bytes) -> None:
    assert read(line, datetime(2027, 1, 1, tzinfo=UTC)) is None


def test_a_leap_second_is_the_second_before_it() -> None:
    reference = datetime(2017, 2, 1, tzinfo=UTC)
    assert read(b"Dec 31 23:59:60 mx1 x", reference) == read(b"Dec 31 23:59:59 mx1 x", reference)
