"""Moments as the API shows and takes them: ISO 8601, UTC, with microseconds and without a zone, as Cinder has them."""

from datetime import UTC, datetime


def iso(moment_us: int | None) -> str | None:
    """Return a moment as clients read it; None: there is none."""
    if moment_us is None:
        return None
    moment = datetime.fromtimestamp(moment_us // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment_us % 1_000_000:06}"


def parse(text: str) -> int:
    """Return the moment that a client means, in microseconds. Raise ValueError."""
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000_000)
