"""Event times: integer Unix milliseconds, or RFC 3339 text read many at a time."""

from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["BAD_TIME", "LATEST_MS", "times_ms"]

BAD_TIME: Final = -(2**62)
LATEST_MS: Final = 253_402_300_800_000
"""Year 10000: later times are rubbish, and smaller ones fit every sum."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO: Final = ord("0")
_SHORTEST: Final = len("2026-01-01T00:00:00Z")
_MONTH_END: Final = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)


def times_ms(values: list[object]) -> NDArray[np.int64]:
    """Read times: (n,) int64 Unix milliseconds, `BAD_TIME` where a value is no time.

    Integers are milliseconds; text is RFC 3339 with an offset (fractions are cut to milliseconds).
    """
    try:
        out = np.array(values)
    except (ValueError, OverflowError):
        return _one_by_one(values)
    if out.dtype == np.int64:
        return np.where((out >= 0) & (out < LATEST_MS), out, BAD_TIME)
    if out.dtype.kind == "U":
        return _texts([str(value) for value in values])
    return _one_by_one(values)


def _one_by_one(values: list[object]) -> NDArray[np.int64]:
    out = np.full(len(values), BAD_TIME, np.int64)
    for index, value in enumerate(values):
        if isinstance(value, int) and not isinstance(value, bool):
            if 0 <= value < LATEST_MS:
                out[index] = value
        elif isinstance(value, str):
            out[index] = _slow(value)
    return out


def _slow(text: str) -> int:
    """Read one text of any legal shape."""
    leap = text[17:19] == "60"
    try:
        moment = datetime.fromisoformat(text[:17] + "59" + text[19:] if leap else text)
    except ValueError:
        return BAD_TIME
    if moment.tzinfo is None or len(text) < _SHORTEST or text[10] not in "Tt ":
        return BAD_TIME
    value = (moment - _EPOCH) // timedelta(milliseconds=1) + 1000 * leap
    return value if 0 <= value < LATEST_MS else BAD_TIME


def _texts(texts: list[str]) -> NDArray[np.int64]:
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    out = np.empty(len(texts), np.int64)
    for length in np.unique(lengths).tolist():
        where = np.flatnonzero(lengths == length)
        group = texts if where.size == len(texts) else [texts[i] for i in where.tolist()]
        out[where] = _same_length(group, length)
    return out


def _same_length(texts: list[str], length: int) -> NDArray[np.int64]:
    """Read texts of one length column by column; what does not fit is read one by one."""
    joined = "".join(texts).encode("utf-8", "replace")
    if length < _SHORTEST or len(joined) != length * len(texts):
        return np.fromiter(map(_slow, texts), np.int64, len(texts))
    chars = np.frombuffer(joined, np.uint8).reshape(len(texts), length).astype(np.int64)
    digits = chars - _ZERO
    is_digit = (digits >= 0) & (digits <= 9)  # noqa: PLR2004
    zulu = chars[:, -1] | 0x20 == ord("z")
    tail = length - 1
    offset = np.zeros(len(texts), np.int64)
    if not zulu.all():
        tail = length - 6
        sign = np.where(chars[:, tail] == ord("-"), -1, 1)
        hours = digits[:, tail + 1] * 10 + digits[:, tail + 2]
        offset = sign * (hours * 60 + digits[:, tail + 4] * 10 + digits[:, tail + 5]) * 60_000
        good = ~zulu & is_digit[:, [tail + 1, tail + 2, tail + 4, tail + 5]].all(axis=1)
        good &= (chars[:, tail + 3] == ord(":")) & np.isin(chars[:, tail], (43, 45))
        good &= (hours < 24) & (digits[:, tail + 4] < 6)  # noqa: PLR2004
    else:
        good = zulu
    fraction = tail - 20
    good &= is_digit[:, [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18]].all(axis=1)
    for column, expected in ((4, "-"), (7, "-"), (13, ":"), (16, ":")):
        good &= chars[:, column] == ord(expected)
    good &= (chars[:, 10] | 0x20 == ord("t")) | (chars[:, 10] == ord(" "))
    ms = np.zeros(len(texts), np.int64)
    if fraction >= 0:
        good &= (chars[:, 19] == ord(".")) & is_digit[:, 20:tail].all(axis=1) & (fraction > 0)
        for place, weight in zip(range(20, min(tail, 23)), (100, 10, 1), strict=False):
            ms += digits[:, place] * weight
    year = digits[:, 0] * 1000 + digits[:, 1] * 100 + digits[:, 2] * 10 + digits[:, 3]
    month, day = digits[:, 5] * 10 + digits[:, 6], digits[:, 8] * 10 + digits[:, 9]
    hour, minute = digits[:, 11] * 10 + digits[:, 12], digits[:, 14] * 10 + digits[:, 15]
    second = digits[:, 17] * 10 + digits[:, 18]
    good &= (month >= 1) & (month <= 12) & (day >= 1) & (hour < 24)  # noqa: PLR2004
    good &= (minute < 60) & (second <= 60) & (year >= 1970)  # noqa: PLR2004
    leap_year = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    last_day = _MONTH_END[np.where(good, month, 0)] - ((month == 2) & ~leap_year)  # noqa: PLR2004
    good &= day <= last_day
    value = _days(year, month, day) * 86_400_000 - offset + ms
    value += ((hour * 60 + minute) * 60 + second) * 1000
    good &= (value >= 0) & (value < LATEST_MS)
    for index in np.flatnonzero(~good).tolist():
        value[index] = _slow(texts[index])
    return value


def _days(
    year: NDArray[np.int64], month: NDArray[np.int64], day: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Count the days since 1970-01-01 (Hinnant, "days_from_civil", chrono-compatible algorithms)."""
    shifted = year - (month <= 2)  # noqa: PLR2004
    era_year = shifted % 400
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return (
        shifted // 400 * 146_097
        + era_year * 365
        + era_year // 4
        - era_year // 100
        + day_of_year
        - 719_468
    )
