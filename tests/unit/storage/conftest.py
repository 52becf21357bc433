"""Fixtures that several modules ask for by name."""

import pytest

from storage.housekeeping import replicate, synchronize


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let housekeeping leave nothing to others."""
    monkeypatch.setattr(replicate, "GRACE_S", 0.0)
    monkeypatch.setattr(synchronize, "GRACE_S", 0.0)
