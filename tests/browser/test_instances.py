"""Instances in the console, in a real browser, with a guest that runs: its log, its serial line, its screen."""

from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.browser import Browser
from tests.browser.test_console import go, origin, requests_made, sign_in
from tests.guests import tiny
from tests.guests.clouds import Cloud


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    made = Cloud(tmp_path_factory.mktemp("cloud"), agents=1, has_console=True, networking="user")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def server(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Any:
    image = cloud.image(tiny.disk(tmp_path_factory.mktemp("tiny")), "tiny")
    return cloud.server("web", image_id=image.id)


def test_an_instance_is_listed_and_what_it_said_is_shown(cloud: Cloud, server: Any, browser: Browser) -> None:
    sign_in(cloud.cluster, browser, "password")
    go(cloud.cluster, browser, "instances")
    browser.find("td.name", server.name)
    browser.find("tr .badge", "active")
    browser.keep("instances")
    browser.click(f"button[aria-label='Actions for {server.name}']")
    browser.click("[role=menuitem]", "Console log")
    browser.find("dialog[open] pre.log", "GUEST ready")
    browser.keep("instance-log")
    browser.click("dialog[open] button", "Close")
    assert browser.complaints() == []


def test_an_instance_is_made_and_deleted(cloud: Cloud, server: Any, browser: Browser) -> None:
    sign_in(cloud.cluster, browser, "password")
    go(cloud.cluster, browser, "instances")
    browser.click("button", "New instance")
    browser.type("name", "by hand")
    browser.type("size", "1")
    browser.script("document.querySelector('dialog[open] [name=flavor]').value = '42'")  # the smallest
    browser.keep("instance-new")
    browser.click("dialog[open] button[type=submit]")
    browser.wait(lambda: [each.status for each in cloud.compute.servers(name="by hand")] == ["ACTIVE"])
    browser.wait(lambda: len(browser.texts("tr .badge", "active")) == 2)
    browser.click("button[aria-label='Actions for by hand']")
    browser.click("[role=menuitem]", "Delete")
    browser.click("dialog[open] button[type=submit]", "Delete")
    browser.wait(lambda: not browser.has("td.name", "by hand"))
    assert browser.complaints() == []


def test_the_serial_line_is_a_terminal(cloud: Cloud, server: Any, browser: Browser) -> None:
    sign_in(cloud.cluster, browser, "password")
    go(cloud.cluster, browser, "instances")
    browser.click(f"button[aria-label='Actions for {server.name}']")
    browser.click("[role=menuitem]", "Serial line")
    with browser.other_window():
        browser.find("[role=status]", "Connected")
        keyboard = browser.driver.switch_to.active_element
        # the quotes keep what is typed, which the guest says too, from being taken for the answer
        keyboard.send_keys("echo the guest an''swers", Keys.ENTER)
        browser.find("pre.terminal", "the guest answers")
        browser.keep("serial-line")
        assert browser.complaints() == []


def test_the_screen_is_shown_by_the_console_and_nobody_else(cloud: Cloud, server: Any, browser: Browser) -> None:
    """By the link of `openstack console url show --novnc`."""
    requests_made(browser)
    url = cloud.compute.create_console(server, "novnc")["url"]
    assert url.startswith(f"{origin(cloud.cluster)}/screen?token=")
    browser.driver.get(url)
    browser.find("[role=status]", "Connected")
    browser.wait(lambda: colours(browser) > 1, "a picture")
    browser.keep("screen")
    here = (origin(cloud.cluster), "data:", "blob:")
    assert [each["url"] for each in requests_made(browser) if not each["url"].startswith(here)] == []
    assert browser.complaints() == []


def test_without_a_viewer_the_page_says_how_to_have_one(cloud: Cloud, server: Any, browser: Browser) -> None:
    url = cloud.compute.create_console(server, "novnc")["url"]
    script = """
        const answered = Response.prototype.json;
        Response.prototype.json = async function () { return { ...await answered.call(this), viewer: null }; };
    """
    with browser.beginning_with(script):
        browser.driver.get(url)
        assert "apt-get install novnc" in browser.find(".display-card").text
        assert "vncviewer 127.0.0.1::" in browser.find(".display-card").text
        browser.keep("screen-without-viewer")
    assert browser.complaints() == []


def colours(browser: Browser) -> int:
    """Return how many colours the picture has."""
    found: int = browser.script(
        """
        const canvas = document.querySelector(".screen-frame canvas");
        if (!canvas || !canvas.width || !canvas.height) return 0;
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
        copy.drawImage(canvas, 0, 0);
        const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size;
        """
    )
    return found
