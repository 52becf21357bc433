"""One cluster with all that the console shows, and one browser, for all tests."""

from collections.abc import Iterator

import pytest

from tests.browser.browser import Browser
from tests.cluster import Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four nodes, identity, images and volumes, and the console."""
    cluster = Cluster(tmp_path_factory.mktemp("console") / "data", with_identity=True)
    cluster.console_settings = {"enabled": True}
    cluster.up()
    try:
        yield cluster
    finally:
        cluster.holdfast("down", check=False)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser of our own."""
    browser = Browser(tmp_path_factory.mktemp("browser"))
    try:
        yield browser
    finally:
        browser.close()
