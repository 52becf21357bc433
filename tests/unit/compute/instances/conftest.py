"""What servers need and are among, for each test."""

from pathlib import Path

import pytest

from tests.unit.compute.instances.service import Service
from tests.unit.compute.instances.surroundings import Surroundings


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    return Surroundings(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Surroundings:
    """Return one for tests that change nothing."""
    return Surroundings(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)
