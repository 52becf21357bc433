"""One cluster with one agent for all tests of a process: each makes guests and volumes of its own."""

from collections.abc import Iterator

import pytest

from tests.guests import agents
from tests.guests.agents import Site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from agents.running(tmp_path_factory.mktemp("site"))
