"""Event times: integer Unix milliseconds, or RFC 3339 text read many at a time."""

import re
from datetime import date
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["BAD_TIME", "EARLIEST_MS", "LATEST_MS", "time_fault", "times_ms"]

BAD_TIME: Final = -(2**62)
LATEST_MS: Final = 253_402_300_800_000
"""Year 10000: later times are rubbish, and smaller ones fit every sum."""

EARLIEST_MS: Final = 946_684_800_000
"""Year 2000: an earlier time of a mail event is one in another unit."""
_SECONDS: Final = range(EARLIEST_MS // 1_000, 100_000_000_000)
_MICROSECONDS: Final = range(EARLIEST_MS * 1_000, 100_000_000_000_000_000)
_DAY_MS: Final = 86_400_000
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_NO_DAY: Final = -(2**31)
_ZERO: Final = ord("0")
_SHORTEST: Final = len("2026-01-01T00:00:00Z")
_OFFSET: Final = len("+00:00")
_DIGITS: Final = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)
_FRACTION: Final = 20
_SHAPE: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):?(\d\d))",
    re.ASCII,
)


def times_ms(values: list[Any]) -> NDArray[np.int64]:
    """Read times: (n,) int64 Unix milliseconds, `BAD_TIME` where a value is no time.

    Integers are milliseconds; text is RFC 3339 with an offset, also `+0000` (fractions are cut to
    milliseconds, second 60 is the second behind 59). A value reads the same whatever stands beside
    it.

    >>> times_ms(["2026-01-01T00:00:00.25Z", 1_500, "2026-01-01T01:00:00+01:00"]).tolist()
    [1767225600250, 1500, 1767225600000]
    """
    try:
        return _texts(values, "".join(values))
    except TypeError:  # not all of it is text
        pass
    if set(map(type, values)) == {int}:
        return _numbers(values)
    out = np.full(len(values), BAD_TIME, np.int64)
    for kind in (str, int):
        rows = [row for row, value in enumerate(values) if type(value) is kind]
        if rows:
            out[rows] = times_ms([values[row] for row in rows])
    return out


def time_fault(value: object) -> str:
    """Say what is wrong with a value that is no time of a mail event, and what to do.

    >>> time_fault(1_773_492_744.976)
    'got 1773492744.976, which looks like seconds: multiply by 1,000, or set source.time_unit = "s"'
    """
    wanted = "want RFC 3339 with an offset, or whole milliseconds since 1970 (Unix)"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return wanted
    got = f"got {value!r}"[:64]
    if isinstance(value, str):
        return f"{got}, {wanted}, from the year 2000 on"
    if not abs(value) < 1e25:  # noqa: PLR2004 - also what is no number
        return wanted
    whole = int(value)
    if whole in _SECONDS:
        return f'{got}, which looks like seconds: multiply by 1,000, or set source.time_unit = "s"'
    if whole in _MICROSECONDS:
        return f"{got}, which looks like microseconds: divide by 1,000"
    if whole >= _MICROSECONDS.stop:
        return f"{got}, which looks like nanoseconds: divide by 1,000,000"
    if isinstance(value, float):
        return f"{got}, {wanted}: leave the fraction out"
    return f"{got}, {wanted}, from the year 2000 on"


def _numbers(values: list[int]) -> NDArray[np.int64]:
    try:
        out = np.array(values, np.int64)
    except OverflowError:
        out = np.array([v if 0 <= v < LATEST_MS else BAD_TIME for v in values], np.int64)
    return np.where((out >= 0) & (out < LATEST_MS), out, BAD_TIME)


def _texts(texts: list[str], joined: str) -> NDArray[np.int64]:
    lengths = list(map(len, texts))
    distinct = set(lengths)
    if len(distinct) == 1:
        return _same_length(texts, joined, lengths[0])
    out = np.empty(len(texts), np.int64)
    for length in distinct:
        rows = [row for row, own in enumerate(lengths) if own == length]
        group = [texts[row] for row in rows]
        out[rows] = _same_length(group, "".join(group), length)
    return out


def _one(text: str) -> int:
    """Read one text of any legal shape."""
    found = _SHAPE.fullmatch(text)
    if found is None:
        return BAD_TIME
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = found.groups()
    days = _day(int(year) * 10_000 + int(month) * 100 + int(day))
    east_minutes = 0
    if sign:
        east_minutes = (int(hours) * 60 + int(minutes)) * (-1 if sign == "-" else 1)
        if int(hours) > 23 or int(minutes) > 59:  # noqa: PLR2004
            return BAD_TIME
    if days == _NO_DAY or int(hour) > 23 or int(minute) > 59 or int(second) > 60:  # noqa: PLR2004
        return BAD_TIME
    seconds = ((days * 24 + int(hour)) * 60 + int(minute) - east_minutes) * 60 + int(second)
    value = seconds * 1000 + int((fraction or "").ljust(3, "0")[:3])
    return value if 0 <= value < LATEST_MS else BAD_TIME


def _day(yyyymmdd: int) -> int:
    """Give the days from 1970-01-01 to a date, or _NO_DAY where there is no such date."""
    try:
        day = date(yyyymmdd // 10_000, yyyymmdd // 100 % 100, yyyymmdd % 100)
    except ValueError:
        return _NO_DAY
    return day.toordinal() - _EPOCH_DAY


def _same_length(texts: list[str], joined: str, length: int) -> NDArray[np.int64]:
    """Read texts of one length column by column; what does not fit is read one by one.

    `digits` is (length, n) uint8: the characters less "0", so that all else is above 9.
    """
    if length < _SHORTEST or not joined.isascii():
        return np.array(list(map(_one, texts)), np.int64)
    chars = np.frombuffer(joined.encode(), np.uint8).reshape(len(texts), length)
    digits = np.ascontiguousarray(chars.T) - np.uint8(_ZERO)
    zulu = _is(digits[-1], "Z") | _is(digits[-1], "z")
    numbers = list(_DIGITS)
    if zulu.all():
        good, tail = zulu, length - 1
    else:
        tail = length - _OFFSET
        numbers += [tail + 1, tail + 2, tail + 4, tail + 5]
        good = (_is(digits[tail], "+") | _is(digits[tail], "-")) & _is(digits[tail + 3], ":")
    numbers += range(_FRACTION, tail)
    good = good & (digits[numbers].max(axis=0) <= 9)  # noqa: PLR2004
    for row, mark in ((4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")):
        good &= _is(digits[row], mark)
    if tail == _FRACTION:  # a point with no digit behind it
        good[:] = False
    elif tail > _FRACTION:
        good &= _is(digits[_FRACTION - 1], ".")
    hour, minute, second = (_pair(digits, row) for row in (11, 14, 17))
    good &= (hour < 24) & (minute < 60) & (second <= 60)  # noqa: PLR2004
    century, year, month, day = (_pair(digits, row).astype(np.int64) for row in (0, 2, 5, 8))
    days = _days((century * 100 + year) * 10_000 + month * 100 + day)
    good &= days != _NO_DAY
    seconds = ((days * 24 + hour) * 60 + minute) * 60 + second
    if tail < length - 1:
        hours, minutes = _pair(digits, tail + 1), _pair(digits, tail + 4)
        good &= (hours < 24) & (minutes < 60)  # noqa: PLR2004
        east = hours.astype(np.int64) * 3_600 + minutes.astype(np.int64) * 60
        seconds -= np.where(_is(digits[tail], "-"), -east, east)
    value = seconds * 1_000
    for row, weight in zip(range(_FRACTION, tail), (100, 10, 1), strict=False):
        value += digits[row].astype(np.int64) * weight
    good &= (value >= 0) & (value < LATEST_MS)
    for row in np.flatnonzero(~good).tolist():
        value[row] = _one(texts[row])
    return value


def _is(row: NDArray[np.uint8], mark: str) -> NDArray[np.bool_]:
    return np.equal(row, (ord(mark) - _ZERO) % 256)


def _pair(digits: NDArray[np.uint8], row: int) -> NDArray[np.uint8]:
    """Read two decimal digits (garbage where they are none)."""
    tens: NDArray[np.uint8] = digits[row] * np.uint8(10)
    tens += digits[row + 1]
    return tens


def _days(yyyymmdd: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give `_day` of each; a run of records has one date, or two."""
    first = int(yyyymmdd[0])
    if (yyyymmdd == first).all():
        return np.full(yyyymmdd.size, _day(first), np.int64)
    distinct, place = np.unique(yyyymmdd, return_inverse=True)
    return np.array([_day(date) for date in distinct.tolist()], np.int64)[place]
