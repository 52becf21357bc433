"""The console in a real browser: what a person does there, and how it looks while they do.

The tests build on each other's clicks only where one says so; each signs in by itself.
"""

import hashlib
import hmac
import json
import os
import struct
import time
import urllib.request
import zlib
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.browser import NARROWEST, Browser
from tests.cluster import Cluster

LARGE = 50_000_000  # bytes: goes in parts
SLOW = 40_000_000  # bytes/s: so that there is progress to see
QUIET_S = 6.0  # the overview asks every 4 s
ADMIN_PAGES = ("overview", "nodes", "ring", "buckets", "volumes", "images", "keys")


def origin(cluster: Cluster) -> str:
    return f"http://127.0.0.1:{9001 + cluster.offset}"


def open_door(cluster: Cluster, browser: Browser) -> None:
    """Show the console to somebody who is not signed in."""
    browser.driver.get(f"{origin(cluster)}/")
    browser.script("sessionStorage.clear()")
    browser.driver.get("about:blank")
    browser.driver.get(f"{origin(cluster)}/")
    browser.find("#tab-key")


def sign_in(cluster: Cluster, browser: Browser, way: str) -> None:
    open_door(cluster, browser)
    if way == "key":
        browser.type("accessKey", cluster.env["AWS_ACCESS_KEY_ID"])
        browser.type("secret", cluster.env["AWS_SECRET_ACCESS_KEY"])
    else:
        browser.click("#tab-password")
        browser.type("user", "admin")
        browser.type("password", cluster.env["OS_PASSWORD"])
    browser.click("form button[type=submit]")
    browser.find("#health")


def go(cluster: Cluster, browser: Browser, page: str) -> None:
    browser.driver.get(f"{origin(cluster)}/#/{page}")
    browser.find(".nav a[aria-current]")
    browser.wait(lambda: not browser.has("#main p[role=status]", "One moment"))


def picture() -> bytes:
    """Return a PNG: a sky over the sea."""
    rows = b"".join(
        b"\0" + bytes(value for x in range(160) for value in (30 + y, 90 + y // 2 + x % 7, 110 + (y > 60) * 40))
        for y in range(100)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 160, 100, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def requests_made(browser: Browser) -> list[dict[str, Any]]:
    """Return the requests since this was asked last, as the browser notes them."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.driver.get_log("performance")]
    return [each["params"]["request"] for each in messages if each["method"] == "Network.requestWillBeSent"]


def test_the_secret_key_stays_in_the_browser(cluster: Cluster, browser: Browser) -> None:
    """And nothing is asked of anybody but the console."""
    open_door(cluster, browser)
    browser.keep("sign-in")
    requests_made(browser)
    sign_in(cluster, browser, "key")
    go(cluster, browser, "buckets")
    made = requests_made(browser)
    assert any("/api/s3/" in each["url"] for each in made)
    assert cluster.env["AWS_SECRET_ACCESS_KEY"] not in json.dumps(made)
    assert [each["url"] for each in made if not each["url"].startswith((origin(cluster), "about:", "data:"))] == []
    assert browser.complaints() == []


def test_who_is_not_known_is_told_what_to_do(cluster: Cluster, browser: Browser) -> None:
    open_door(cluster, browser)
    browser.type("accessKey", cluster.env["AWS_ACCESS_KEY_ID"])
    browser.type("secret", "not the secret")
    browser.click("form button[type=submit]")
    assert "holdfast env" in browser.find(".notice.bad", "does not know this access key").text
    browser.click("#tab-password")
    browser.type("user", "admin")
    browser.type("password", "not the password")
    browser.click("form button[type=submit]")
    browser.find(".notice.bad", "do not fit together")
    browser.complaints()  # that two requests were refused


@pytest.mark.parametrize("way", ["key", "password"])
def test_a_large_file_goes_up_comes_down_and_is_shared(
    cluster: Cluster, browser: Browser, tmp_path: Path, way: str
) -> None:
    """By S3, signed in the browser, and by Swift with a token: in parts, each of whose progress is seen."""
    sign_in(cluster, browser, way)
    bucket, name = f"holiday-{way}", f"film-{way}.bin"
    files = [(name, os.urandom(LARGE)), ("beach.png", picture()), ("diary.md", "# Tuesday\n\nSünny.\n".encode())]
    for file_name, content in files:
        (tmp_path / file_name).write_bytes(content)
    go(cluster, browser, "buckets")
    browser.click("button", "New bucket")
    browser.type("name", bucket)
    browser.click("dialog[open] button[type=submit]")
    browser.find(".empty h2", "This bucket is empty")

    browser.slow_uploads(SLOW)
    seen = upload(browser, [tmp_path / file_name for file_name, _content in files])
    browser.slow_uploads(-1)
    assert len(seen) >= 3, f"progress jumped: {seen}"
    assert seen == sorted(seen)
    browser.find("td.name", name)
    browser.find("td.name", "diary.md")
    browser.keep(f"objects-{way}")

    browser.click(f"button[aria-label='Download {name}']")
    found = hashlib.sha256(browser.downloaded(name).read_bytes()).hexdigest()
    assert found == hashlib.sha256(files[0][1]).hexdigest()

    browser.click("td.name button", "diary.md")
    browser.find("dialog[open] pre", "Sünny.")
    browser.click("dialog[open] button", "Close")
    browser.click("td.name button", "beach.png")
    browser.wait(lambda: browser.script("return document.querySelector('dialog img')?.naturalWidth") == 160)
    browser.keep(f"preview-{way}")
    browser.click("dialog[open] button", "Share by link")
    browser.click("dialog[open] button[type=submit]", "Make link")
    link = browser.find(".copy input").get_attribute("value")
    assert link is not None
    assert "127.0.0.1" in link
    with urllib.request.urlopen(link, timeout=60) as answer:
        assert answer.read() == files[1][1]
    browser.driver.refresh()

    browser.click("button", "Choose all")
    browser.click("button", "Delete 3")
    browser.click("dialog[open] button[type=submit]", "Delete")
    browser.find(".empty h2", "This bucket is empty")
    assert browser.complaints() == []


def upload(browser: Browser, paths: list[Path]) -> list[float]:
    """Choose files, and return the values that the progress bar of the first had until all are through."""
    browser.script(
        """
        window.seen = [];
        const look = () => {
          const bar = document.querySelector("[data-upload] progress");
          if (bar && bar.value !== window.seen.at(-1)) window.seen.push(bar.value);
          if (!window.through) requestAnimationFrame(look);
        };
        look();
        """
    )
    browser.driver.find_element(By.ID, "files").send_keys("\n".join(map(str, paths)))
    browser.find(f"[data-upload='{paths[0].name}']")
    browser.wait(lambda: 0.2 < browser.script("return window.seen.at(-1)") < 1)
    browser.keep_one("uploading-desktop-light")
    browser.wait(lambda: not browser.has("[data-state=running], [data-state=waiting]"))
    assert not browser.has("[data-state=failed]")
    seen: list[float] = browser.script("window.through = true; return window.seen")
    return [each for each in seen if 0 < each <= 1]


def test_folders_are_walked_and_pages_turned(cluster: Cluster, browser: Browser) -> None:
    s3 = cluster.s3()
    s3.create_bucket(Bucket="archive")
    for number in range(103):
        s3.put_object(Bucket="archive", Key=f"2026/day {number:03} & night.txt", Body=b"x")
    s3.put_object(Bucket="archive", Key="odd/<b>bold<b>?#%41 ü.txt", Body=b"odd")
    sign_in(cluster, browser, "key")
    go(cluster, browser, "buckets/archive")
    browser.click("td.name a", "2026")
    browser.find("td.name", "day 000 & night.txt")
    browser.click("button", "Next page")
    browser.find("td.name", "day 102 & night.txt")
    browser.click("button", "Page before")
    browser.find("td.name", "day 000 & night.txt")
    browser.click(".crumbs a", "archive")
    browser.click("td.name a", "odd")
    browser.click("td.name button", "<b>bold<b>?#%41 ü.txt")
    browser.find("dialog[open] pre", "odd")
    browser.driver.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    browser.wait(lambda: not browser.has("dialog[open]"))
    browser.script(
        """
        const dropped = new DataTransfer();
        dropped.items.add(new File(["from the desk"], "dropped.txt"));
        const at = { bubbles: true, cancelable: true, dataTransfer: dropped };
        for (const kind of ["dragenter", "dragover", "drop"])
          document.querySelector(".drop").dispatchEvent(new DragEvent(kind, at));
        """
    )
    browser.find("td.name", "dropped.txt")
    assert s3.get_object(Bucket="archive", Key="odd/dropped.txt")["Body"].read() == b"from the desk"
    assert browser.complaints() == []


def test_a_volume_is_made_and_a_snapshot_of_it(cluster: Cluster, browser: Browser) -> None:
    sign_in(cluster, browser, "password")
    go(cluster, browser, "volumes")
    browser.click("button", "New volume")
    browser.type("name", "root-disk")
    browser.type("size", "2")
    browser.click("dialog[open] button[type=submit]")
    browser.find("section[aria-label=Volumes] tr .badge", "available")
    browser.click("button[aria-label='Actions for root-disk']")
    browser.click("[role=menuitem]", "Take a snapshot")
    browser.type("name", "before-upgrade")
    browser.click("dialog[open] button[type=submit]")
    browser.find("section[aria-label=Snapshots] td.name", "before-upgrade")
    browser.find("section[aria-label=Snapshots] tr .badge", "available")
    browser.click("button[aria-label='Actions for root-disk']")
    browser.click("[role=menuitem]", "Extend")
    browser.type("size", "3")
    browser.click("dialog[open] button[type=submit]")
    browser.find("section[aria-label=Volumes] td", "3 GiB")
    browser.keep("volumes")
    assert browser.complaints() == []


def test_a_killed_node_is_reported_and_recovers(cluster: Cluster, browser: Browser) -> None:
    sign_in(cluster, browser, "key")
    browser.find("#health[data-state=healthy]")
    cluster.holdfast("node", "kill", "2")
    try:
        browser.find("#health[data-state=degraded]")
        assert "holdfast node start 2" in browser.find(".hero").text
        browser.keep("overview-node-killed")
        go(cluster, browser, "nodes")
        browser.find("[data-node='2'][data-state=stopped]")
        browser.keep("nodes-node-killed")
        go(cluster, browser, "ring")
        browser.find(".arc.away")
        browser.keep("ring-node-killed")
    finally:
        cluster.holdfast("node", "start", "2")
    go(cluster, browser, "overview")
    browser.find("#health[data-state=healthy]")
    browser.find(".tile", "every replica has all it should have")
    assert browser.complaints() == []


def test_every_page_fits_a_phone_and_has_names_for_all_controls(cluster: Cluster, browser: Browser) -> None:
    """Also what is read aloud: nothing that is used lacks a name, no id is there twice, headings begin with one h1."""
    sign_in(cluster, browser, "password")
    for page in ADMIN_PAGES:
        go(cluster, browser, page)
        browser.size(*NARROWEST)
        assert browser.overflow() <= 0, f"{page} is wider than the window"
        nameless = browser.script(
            """
            const named = (each) => each.getAttribute("aria-label") || each.textContent.trim() || each.labels?.length;
            return [...document.querySelectorAll("a, button, input, select, [tabindex='0']")]
              .filter((each) => !named(each)).map((each) => each.outerHTML);
            """
        )
        assert nameless == []
        ids = browser.script("return [...document.querySelectorAll('[id]')].map((each) => each.id)")
        assert len(ids) == len(set(ids))
        assert browser.script("return document.querySelectorAll('h1').length") == 1, page
        browser.keep(page)
    assert browser.complaints() == []


def test_text_has_contrast_in_both_schemes(cluster: Cluster, browser: Browser) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1, by the tokens that all colours are taken from."""
    open_door(cluster, browser)
    pairs = [
        ("ink", "paper"), ("ink", "surface"), ("muted", "paper"), ("muted", "surface"), ("accent", "surface"),
        ("accent", "accent-soft"), ("accent-ink", "accent"), ("ok", "ok-soft"), ("warn", "warn-soft"),
        ("bad", "bad-soft"), ("bad", "surface"), ("muted", "sunk"),
    ]  # fmt: skip
    for scheme in ("light", "dark"):
        browser.colours(scheme)
        for text, ground in pairs:
            script = "return getComputedStyle(document.documentElement).getPropertyValue(arguments[0]).trim()"
            ratio = contrast(*(browser.script(script, f"--{name}") for name in (text, ground)))
            assert ratio >= 4.5, f"{text} on {ground} in {scheme}: {ratio:.2f}"
    browser.colours("light")


def contrast(one: str, other: str) -> float:
    lights = sorted(luminance(each) for each in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_page_signs_as_well_without_webcrypto(cluster: Cluster, browser: Browser) -> None:
    """Over plain http from another host browsers have no crypto.subtle: our own SHA-256 agrees with Python's."""
    open_door(cluster, browser)
    texts = ["", "abc", "x" * 55, "x" * 56, "x" * 64, "ü" * 300]
    found = browser.driver.execute_async_script(
        """
        const [texts, done] = arguments, utf8 = new TextEncoder();
        import("/lib/digest.js").then(({ hex, plainHmac, plainSha256 }) => done(texts.map((text) =>
          [hex(plainSha256(utf8.encode(text))), hex(plainHmac(utf8.encode(text), utf8.encode("data")))])));
        """,
        texts,
    )
    for text, (digest, code) in zip(texts, found, strict=True):
        assert digest == hashlib.sha256(text.encode()).hexdigest()
        assert code == hmac.digest(text.encode(), b"data", "sha256").hex()


def test_it_works_by_keyboard_and_asks_nothing_while_it_is_hidden(cluster: Cluster, browser: Browser) -> None:
    open_door(cluster, browser)
    focused = browser.driver.switch_to.active_element
    assert focused.get_attribute("id") == "accessKey"
    focused.send_keys(cluster.env["AWS_ACCESS_KEY_ID"], Keys.TAB, cluster.env["AWS_SECRET_ACCESS_KEY"], Keys.ENTER)
    browser.find("#health")
    browser.script(
        """
        Object.defineProperty(document, "hidden", { value: true, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
        """
    )
    browser.wait(lambda: is_quiet(browser))
    browser.script("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'));")
    browser.wait(lambda: any("/api/cluster" in each["url"] for each in requests_made(browser)))


def is_quiet(browser: Browser) -> bool:
    """Tell whether nothing is asked for longer than pages pause; what is under way comes to its end first."""
    requests_made(browser)
    time.sleep(QUIET_S)
    return requests_made(browser) == []
