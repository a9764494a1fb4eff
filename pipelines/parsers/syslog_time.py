"""The time and host in front of a syslog line, in the forms that mail servers and relays write.

| form | looks like |
|---|---|
| classic (RFC 3164, and Postfix's own `maillog_file`) | `Nov 24 07:17:47 mx1 ` |
| classic, day without padding | `Nov 4 07:17:47 mx1 ` |
| classic with a year | `Nov 24 2026 07:17:47 mx1 ` |
| classic with facility and level (FreeBSD `-v`, AIX) | `Nov 24 07:17:47 <mail.info> mx1 ` |
| RFC 3339, also with `Z`, `+0000` or a space for `T` | `2026-11-24T07:17:47.123456+00:00 mx1 ` |
| RFC 5424 | `<22>1 2026-11-24T07:17:47.123Z mx1 ` |
| the first ones with a priority | `<22>Nov 24 07:17:47 mx1 ` |
| any of them behind the prefix of a relay | `Nov 24 07:17:48 relay 1 2026-11-24T07:17:47Z mx1 ` |

Behind a relay's prefix the inner one counts: the time and host of the server that wrote the line.
What stands behind a prefix is the tag, which no client can write, so none can forge an inner one.
"""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

__all__ = ["Prefix", "SyslogTime"]

_DAY_MS: Final = 86_400_000
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_MOST_DAYS_CACHED: Final = 1_024
_YEARS_BACK: Final = 9  # two leap years apart, also across a century
_MONTHS: Final = {
    b"Jan": 1, b"Feb": 2, b"Mar": 3, b"Apr": 4, b"May": 5, b"Jun": 6,
    b"Jul": 7, b"Aug": 8, b"Sep": 9, b"Oct": 10, b"Nov": 11, b"Dec": 12,
}  # fmt: skip
_SECONDS: Final = {b"%02d" % second: second * 1000 for second in range(60)} | {b"60": 59_000}
"""A leap second counts as the second before it: Unix time has no 61st."""
_CLOCK: Final = (
    rb"(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d):(?P<second>[0-5]\d|60)"
    rb"(?:[.,](?P<fraction>\d+))?"
)
_HOST: Final = (
    rb" (?:<[\w.]{3,16}> )?(?P<host>[^\s\[\]]{1,255}) "
    rb"(?:[a-z]\w{1,9}[.:](?:emerg|alert|crit|err|error|warning|warn|notice|info|debug) )?"
)
_CLASSIC: Final = re.compile(
    rb"(?:<\d{1,3}>)?(?P<date>[A-Z][a-z]{2} (?: \d|[0-3]?\d)(?: \d{4})?) "
    + _CLOCK
    + rb"(?P<zone>)"
    + _HOST
)
_ISO: Final = re.compile(
    rb"(?:<\d{1,3}>)?(?P<version>1 )?(?P<date>\d{4}-\d\d-\d\d)[T ]"
    + _CLOCK
    + rb"(?P<zone>Z|[+-](?:[01]\d|2[0-3]):?[0-5]\d|)"
    + _HOST
)
_MOST_RELAYS: Final = 3
_WITHOUT_YEAR: Final = len("Nov 24")
_WRAPPED_DAYS: Final = 183
"""A date without a year that lies so far before an earlier line's is of another year."""
_FEWEST_DIGITS: Final = 3


class Prefix(NamedTuple):
    """What stands in front of one line, and what its neighbours of the same second share.

    Lines that start with `head`, then hold digits up to `zone_at`, then `zone`, have the time
    `second_ms` plus the first three digits, and the same host and `body`. Where `zone_at` is 0,
    `head` is the whole prefix and the time is `second_ms`. `time_ms` is the line's own time.
    """

    second_ms: int
    time_ms: int
    host: bytes
    body: int
    """Where the program's tag begins."""
    framed: bool
    """RFC 5424: tag, process and message id are separate words."""
    head: bytes
    zone_at: int
    zone: bytes


class SyslogTime:
    """Reads prefixes. Years that a line does not name are chosen by a reference.

    Args:
        reference_ms: The latest plausible time, Unix ms. A date without a year is the latest such
            date that begins at most a day after it, so a log that runs over New Year needs no
            memory. In a log of more than a year the dates jump back by about a year somewhere:
            from there on they are not read (`year_unclear`), since one side of it is misdated.
        utc_offset_s: Seconds east of UTC for times without a zone. It is one number for a whole
            log: where clocks were put forward or back, the hours on one side are off.
        newest_day: `newest_day` of the reader that read the earlier lines of the same log.

    >>> SyslogTime(1_767_312_000_000).read(b"Dec 31 23:59:58 mx postfix/qmgr[7]: x").second_ms
    1767225598000
    """

    def __init__(
        self, reference_ms: int, utc_offset_s: int = 0, newest_day: int | None = None
    ) -> None:
        self.newest_day = newest_day
        """The latest day that a date without a year named, from 1970-01-01; None before one."""
        self.year_unclear = False
        """Whether the last line without a prefix has one, but its year cannot be told."""
        self._offset_ms = utc_offset_s * 1000
        local = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
            milliseconds=reference_ms + self._offset_ms + _DAY_MS
        )
        self._latest = local.date()
        self._days: dict[bytes, int] = {}
        # What the last line read in full shares with others of its minute.
        self._last = Prefix(0, 0, b"", 0, framed=False, head=b"", zone_at=0, zone=b"")
        self._minute, self._minute_ms, self._second_at, self._tail = b"\n", 0, 1, b""

    def read(self, line: bytes) -> Prefix | None:
        """Give the prefix of a line, or None where it has none that is right."""
        seconds = self._second_at
        if line[:seconds] == self._minute:
            second = _SECONDS.get(line[seconds : seconds + 2])
            last = self._last
            tail_at = last.zone_at or seconds + 2
            if second is not None and line[tail_at : last.body] == self._tail:
                at = self._minute_ms + second
                if not last.zone_at:
                    return Prefix(
                        at, at, last.host, last.body, last.framed, line[: last.body], 0, b""
                    )
                digits = line[seconds + 3 : tail_at]
                if digits.isdigit() and line[seconds + 2 : seconds + 3] == b".":
                    return last._replace(
                        second_ms=at, time_ms=at + int(digits[:3]), head=line[: seconds + 3]
                    )
        return self._read_in_full(line)

    def _read_in_full(self, line: bytes) -> Prefix | None:
        self.year_unclear = False
        found = _innermost(line)
        day = -1 if found is None else self._day(found["date"])
        if found is None or day < 0:
            return None
        if len(found["date"]) <= _WITHOUT_YEAR and self._wrapped(day):
            return None
        minute_ms = (day * 1440 + int(found["hour"]) * 60 + int(found["minute"])) * 60_000
        minute_ms -= self._zone_ms(found["zone"])
        at = minute_ms + _SECONDS[found["second"]]
        body, fraction = found.end(), found["fraction"] or b""
        framed = found.re is _ISO and found["version"] is not None
        milliseconds = int(fraction[:3].ljust(3, b"0"))
        if len(fraction) < _FEWEST_DIGITS:  # not enough of them to be shared with neighbours
            at += milliseconds
            prefix = Prefix(at, at, found["host"], body, framed, line[:body], 0, b"")
        else:
            zone_at = found.start("zone")
            head, zone = line[: zone_at - len(fraction)], line[zone_at:body]
            prefix = Prefix(at, at + milliseconds, found["host"], body, framed, head, zone_at, zone)
        if not fraction or prefix.zone_at:
            self._last, self._minute_ms = prefix, minute_ms
            self._second_at = found.start("second")
            self._minute = line[: self._second_at]
            self._tail = line[prefix.zone_at or self._second_at + 2 : body]
        return prefix

    def _wrapped(self, day: int) -> bool:
        """Note a day whose year was chosen by us; tell one that is of another year, in truth."""
        newest = self.newest_day
        self.year_unclear = newest is not None and day < newest - _WRAPPED_DAYS
        if newest is None or day > newest:
            self.newest_day = day
        return self.year_unclear

    def _zone_ms(self, zone: bytes) -> int:
        if not zone:
            return self._offset_ms
        if zone == b"Z":
            return 0
        minutes = int(zone[1:3]) * 60 + int(zone[-2:])
        return minutes * (-60_000 if zone[:1] == b"-" else 60_000)

    def _day(self, text: bytes) -> int:
        """Count the days from 1970-01-01 to a date as it is written in a line; -1 for none."""
        day = self._days.get(text)
        if day is None:
            if text[:1].isdigit():
                day = _day_of(*map(int, text.split(b"-")))
            else:
                day = self._classic_day(*text.split())
            if len(self._days) >= _MOST_DAYS_CACHED:
                self._days.clear()
            self._days[text] = day
        return day

    def _classic_day(self, month: bytes, day_of_month: bytes, named_year: bytes = b"") -> int:
        number = _MONTHS.get(month)
        if number is None:
            return -1
        if named_year:
            return _day_of(int(named_year), number, int(day_of_month))
        latest = self._latest.toordinal() - _EPOCH_DAY
        for year in range(self._latest.year, self._latest.year - _YEARS_BACK, -1):
            day = _day_of(year, number, int(day_of_month))
            if 0 <= day <= latest:
                return day
        return -1


def _innermost(line: bytes) -> re.Match[bytes] | None:
    """Find the prefix of a line; behind those of relays, the one that the relays were given."""
    found = None
    for _ in range(_MOST_RELAYS):
        at = found.end() if found else 0
        inner = _CLASSIC.match(line, at) or _ISO.match(line, at)
        if inner is None:
            break
        found = inner
    return found


def _day_of(year: int, month: int, day: int) -> int:
    """Count the days from 1970-01-01; -1 for a date that does not exist or is before it."""
    try:
        return max(-1, date(year, month, day).toordinal() - _EPOCH_DAY)
    except ValueError:
        return -1
