"""A headless Chromium that a test steers, and what a person would do with it.

Debian's Chromium and its own driver, by Selenium: nothing is fetched. HOLDFAST_SCREENSHOTS names a directory in which
screenshots are kept, of every size in light and dark; else there are two of each view, in the test's own.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

SCREENSHOTS = "HOLDFAST_SCREENSHOTS"
WAIT_S = 120.0
DESKTOP, PHONE = (1280, 800), (390, 844)
NARROWEST = (360, 740)
VIEWS = (
    ("desktop", DESKTOP, "light"),
    ("desktop", DESKTOP, "dark"),
    ("phone", PHONE, "light"),
    ("phone", PHONE, "dark"),
)

Found = TypeVar("Found")


class Browser:
    """One window."""

    def __init__(self, directory: Path) -> None:
        binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
        assert binary, "tools/install-packages installs chromium"
        assert driver, "tools/install-packages installs chromium-driver"
        self.downloads = directory / "downloads"
        self.downloads.mkdir()
        self._shots = Path(os.environ.get(SCREENSHOTS) or directory / "screenshots")
        self._shots.mkdir(parents=True, exist_ok=True)
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        for argument in (
            "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run",
            "--hide-scrollbars", "--disable-background-networking", "--disable-component-update",
            "--force-color-profile=srgb",
        ):  # fmt: skip
            options.add_argument(argument)
        options.add_argument(f"--user-data-dir={directory / 'profile'}")
        options.add_experimental_option("prefs", {"download.default_directory": str(self.downloads)})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        self.driver.set_script_timeout(WAIT_S)
        self.size(*DESKTOP)
        self.colours("light")

    def close(self) -> None:
        """End it."""
        self.driver.quit()

    # how it looks

    def size(self, width: int, height: int) -> None:
        """Be so large."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def colours(self, scheme: str) -> None:
        """Prefer light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def keep(self, name: str) -> None:
        """Keep screenshots of what is shown: large and small, light and dark."""
        for label, size, scheme in VIEWS if SCREENSHOTS in os.environ else VIEWS[::3]:
            self.size(*size)
            self.colours(scheme)
            self.driver.save_screenshot(str(self._shots / f"{name}-{label}-{scheme}.png"))
        self.size(*DESKTOP)
        self.colours("light")

    def keep_one(self, name: str) -> None:
        """Keep what is shown now."""
        self.driver.save_screenshot(str(self._shots / f"{name}.png"))

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.driver.execute_script(script))

    def slow_uploads(self, bytes_per_s: int) -> None:
        """Send no more than so much; -1: as much as goes."""
        conditions = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_s}
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)

    # what one does

    def wait(self, what: Callable[[], Found], message: str = "") -> Found:
        """Return what comes to be true."""
        ignored = (NoSuchElementException, StaleElementReferenceException)
        waiting = WebDriverWait(self.driver, WAIT_S, poll_frequency=0.05, ignored_exceptions=ignored)
        found: Found = waiting.until(lambda _driver: what(), message)
        return found

    def find(self, css: str, text: str = "") -> WebElement:
        """Return the first element that is shown, with `text` in it, once there is one."""

        def look() -> WebElement | None:
            shown = self.driver.find_elements(By.CSS_SELECTOR, css)
            return next((each for each in reversed(shown) if text in each.text and each.is_displayed()), None)

        return self.wait(look, f"{css} {text!r}")  # type: ignore[return-value]

    def has(self, css: str, text: str = "") -> bool:
        """Tell whether there is such an element."""
        return any(text in each.text for each in self.driver.find_elements(By.CSS_SELECTOR, css))

    def texts(self, css: str, text: str) -> list[str]:
        """Return the texts of the elements that have `text` in them."""
        found = [each.text for each in self.driver.find_elements(By.CSS_SELECTOR, css)]
        return [each for each in found if text in each]

    def click(self, css: str, text: str = "") -> None:
        """Click on it."""

        def act() -> bool:
            self.find(css, text).click()
            return True

        self.wait(act)

    def type(self, name: str, text: str) -> None:
        """Fill the field `name` of the form in front."""
        field = self.find(f"dialog[open] [name={name}], .signin [name={name}]")
        field.clear()
        field.send_keys(text)

    def script(self, text: str, *arguments: Any) -> Any:
        """Return what a script returns."""
        return self.driver.execute_script(text, *arguments)

    @contextmanager
    def other_window(self) -> Iterator[None]:
        """Look at the window that was opened last; close it at the end."""
        first = self.driver.current_window_handle
        self.wait(lambda: len(self.driver.window_handles) > 1)
        self.driver.switch_to.window(self.driver.window_handles[-1])
        try:
            yield
        finally:
            self.driver.close()
            self.driver.switch_to.window(first)

    @contextmanager
    def beginning_with(self, script: str) -> Iterator[None]:
        """Have each page run a script before its own."""
        added = self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)

    def complaints(self) -> list[str]:
        """Return what the console of the browser has noted since it was asked last."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def downloaded(self, name: str) -> Path:
        """Return a file once it is here whole."""
        path = self.downloads / name
        deadline = time.monotonic() + WAIT_S
        while not path.exists() or any(self.downloads.glob("*.crdownload")):
            assert time.monotonic() < deadline, f"{name} does not come"
            time.sleep(0.05)
        return path
