"""What holds for all tests.

Those marked `long` wait for minutes by nature: `make faults` runs them, or HOLDFAST_TEST_LONG=1. How fast an example of
hypothesis is made and tried says something about the machine only.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests import databases

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
LONG = os.environ.get("HOLDFAST_TEST_LONG", "") not in ("", "0")


@pytest.fixture(autouse=databases.ON_POSTGRESQL)
def _connections() -> Iterator[None]:
    """Leave no connections to PostgreSQL behind."""
    yield
    databases.forget_connections()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is long, and say so."""
    if LONG:
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("long")]
