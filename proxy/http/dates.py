"""Dates in HTTP headers and in XML and JSON documents, from and to microseconds since 1970.

Source: RFC 9110 §5.6.7 (three formats are read, one is written) and RFC 3339. All are UTC.
RFC 5322's "+0000" for GMT is read too: s3cmd dates requests so.
"""

import calendar
import re
import time
from functools import lru_cache

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_US_PER_S = 1_000_000

_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_FORMATS = (
    re.compile(rf"[A-Z][a-z]{{2}}, (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} (?:GMT|[+]0000)", re.ASCII),
    re.compile(rf"[A-Z][a-z]{{5,8}}, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} GMT", re.ASCII),
    re.compile(rf"[A-Z][a-z]{{2}} {_MONTH} (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})", re.ASCII),
)


def http_date(us: int) -> str:
    """Return IMF-fixdate, e.g. "Fri, 02 Jan 2026 03:04:05 GMT"."""
    return _http_date_of_second(us // _US_PER_S)


@lru_cache(maxsize=1024)
def _http_date_of_second(second: int) -> str:
    at = time.gmtime(second)
    day, month = _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    return (
        f"{day}, {at.tm_mday:02} {month} {at.tm_year:04} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"
    )


def iso8601(us: int) -> str:
    """Return e.g. "2026-01-02T03:04:05.678Z"."""
    second, fraction = divmod(us, _US_PER_S)
    return f"{_iso_second(second)}.{fraction // 1000:03}Z"


@lru_cache(maxsize=1024)
def _iso_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def parse_http_date(text: str) -> int | None:
    """Return the microseconds since 1970 of a date in one of HTTP's formats, None when it is none."""
    for pattern in _FORMATS:
        match = pattern.fullmatch(text.strip())
        if match:
            return _microseconds(match)
    return None


def _microseconds(match: re.Match[str]) -> int | None:
    year, day = int(match["year"]), int(match["day"])
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"])
    month = _MONTHS.index(match["month"]) + 1
    if len(match["year"]) == 2:
        # of two digits: at most 50 years ahead (RFC 9110 §5.6.7); 1970 is as far back as we go
        year += 2000 if year < 70 else 1900
    if year < 1970 or hour > 23 or minute > 59 or second > 60:
        return None
    if not 1 <= day <= calendar.monthrange(year, month)[1]:
        return None
    return calendar.timegm((year, month, day, hour, minute, second)) * _US_PER_S
