"""Moments as the API shows and takes them: ISO 8601, UTC. Of servers with a Z, of most other things without a zone."""

from datetime import UTC, datetime


def iso(moment_us: int | None) -> str | None:
    """Return a moment in seconds, with Z; None: there is none."""
    return None if moment_us is None else f"{_datetime(moment_us):%Y-%m-%dT%H:%M:%SZ}"


def iso_micro(moment_us: int | None) -> str | None:
    """Return a moment with microseconds, and without a zone; None: there is none."""
    if moment_us is None:
        return None
    return f"{_datetime(moment_us):%Y-%m-%dT%H:%M:%S}.{moment_us % 1_000_000:06}"


def parse(text: str) -> int:
    """Return the moment that a client means, in microseconds. Raise ValueError."""
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000_000)


def _datetime(moment_us: int) -> datetime:
    return datetime.fromtimestamp(moment_us // 1_000_000, UTC)
