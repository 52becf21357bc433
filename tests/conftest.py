"""Tests marked `long` wait for minutes by nature: `make faults` runs them, or HOLDFAST_TEST_LONG=1."""

import os

import pytest

LONG = os.environ.get("HOLDFAST_TEST_LONG", "") not in ("", "0")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is long, and say so."""
    if LONG:
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("long")]
