"""A service for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.compute.images.service import Service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    yield service
    service.database.close()
