"""A service for each test."""

from pathlib import Path

import pytest

from tests.unit.compute.network.service import Service


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)
