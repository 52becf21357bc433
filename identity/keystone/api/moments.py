"""Moments as the API shows them: ISO 8601 with microseconds, UTC."""

from datetime import UTC, datetime


def iso(moment_us: int | None) -> str | None:
    """Return a moment as clients read it; None: there is none."""
    if moment_us is None:
        return None
    moment = datetime.fromtimestamp(moment_us // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment_us % 1_000_000:06}Z"
