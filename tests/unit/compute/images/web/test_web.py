"""compute.images.web: what may be fetched from where. A server of our own answers; names are made up."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from compute.errors import BadRequest
from compute.images.settings import WebDownload
from compute.images.web.addresses import is_public
from compute.images.web.fetching import Fetcher, NotFetched
from compute.images.web.uris import place_of


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.9.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1",
        "224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0",
        "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
        "2002:7f00:1::", "2002:a9fe:a9fe::", "2001:0:4136:e378:8000:63bf:80ff:fffe", "2001:db8::1", "", "localhost",
        "127.1", "0x7f000001", "2130706433",
    ],
)
def test_addresses_that_are_not(address: str) -> None:
    assert not is_public(address)


RULES = WebDownload(refused_hosts=("evil.example",))


@pytest.mark.parametrize(
    "uri",
    [
        "http://images.example/a.img", "https://images.example/a.img?x=1", "HTTP://Images.Example./a",
        "http://8.8.8.8/", "http://[2606:4700:4700::1111]/a", "https://images.example:443/a", "http://images.example",
    ],
)
def test_uris_that_may_be_asked(uri: str) -> None:
    place = place_of(uri, RULES)
    assert place.host == place.host.lower()
    assert place.target.startswith("/")


@pytest.mark.parametrize(
    "uri",
    [
        "", "x", "file:///etc/passwd", "ftp://images.example/a", "gopher://images.example/", "http:///a",
        "//images.example/a", "http://images.example:22/a", "http://images.example:99999/",
        "http://user@images.example/a",
        "http://user:pass@images.example/", "http://evil.example/a", "http://EVIL.example./a",
        "http://images.example/a b",
        "http://images.example/a\r\nHost: x", "http://images.example/\x00", "http://[::1/a", "http://images.exämple/",
        "http://images.example:80:80/",
    ],
)
def test_uris_that_may_not(uri: str) -> None:
    with pytest.raises(BadRequest, match="does not pass filtering"):
        place_of(uri, RULES)


def test_a_port_is_named_where_it_is_not_the_usual_one() -> None:
    rules = WebDownload(ports=())
    for uri, authority in (
        ("http://a.example/", "a.example"), ("https://a.example:443/", "a.example"),
        ("http://a.example:443/", "a.example:443"),
        ("http://[2606:4700:4700::1111]:8080/", "[2606:4700:4700::1111]:8080"),
    ):
        assert place_of(uri, rules).authority == authority


def test_a_list_of_hosts_leaves_no_others() -> None:
    rules = WebDownload(hosts=("images.example",), ports=())
    assert place_of("http://images.example:8080/", rules).port == 8080
    with pytest.raises(BadRequest):
        place_of("http://other.example/", rules)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        heard.append((self.path, self.headers["Host"]))
        if self.path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to?"))
            self.end_headers()
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"x" * 50)
        elif self.path == "/data":
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"x" * 1_000_000)
        else:
            self.send_error(404)

    def log_message(self, *_arguments: Any) -> None:
        pass


heard: list[tuple[str, str]] = []


@pytest.fixture
def server() -> Iterator[int]:
    heard.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


NAMES = {"here.example": ["127.0.0.1"], "mixed.example": ["127.0.0.1", "10.1.1.1"], "private.example": ["10.1.1.1"]}


def resolve(host: str, _port: int) -> list[str]:
    if host in NAMES:
        return NAMES[host]
    if host.replace(".", "").isdigit():
        return [host]
    raise OSError("no such name")


def fetcher(**rules: Any) -> Fetcher:
    return Fetcher(WebDownload(**{"ports": (), "private_addresses": True, "timeout_s": 2.0, **rules}), resolve)


def test_it_fetches(server: int) -> None:
    assert len(b"".join(fetcher().fetch(f"http://here.example:{server}/data"))) == 1_000_000
    assert heard == [("/data", f"here.example:{server}")]


def test_it_goes_where_it_is_sent_a_few_times(server: int) -> None:
    assert len(b"".join(fetcher().fetch(f"http://here.example:{server}/to?/data"))) == 1_000_000
    assert len(b"".join(fetcher().fetch(f"http://here.example:{server}/to?http://mixed.example:{server}/data"))) > 0
    with pytest.raises(NotFetched, match="too many"):
        list(fetcher().fetch(f"http://here.example:{server}/to?/to?/to?/to?/to?/data"))


@pytest.mark.parametrize("onwards", ["file:///etc/passwd", "http://private.example:22/", "gopher://x/"])
def test_it_is_not_sent_where_it_may_not_go(server: int, onwards: str) -> None:
    with pytest.raises(NotFetched, match="does not pass filtering"):
        list(fetcher(ports=(server, 80)).fetch(f"http://here.example:{server}/to?{onwards}"))


@pytest.mark.parametrize("host", ["here.example", "mixed.example", "127.0.0.1", "private.example"])
def test_private_addresses_are_not_asked(server: int, host: str) -> None:
    with pytest.raises(NotFetched, match="not a public address"):
        list(fetcher(private_addresses=False).fetch(f"http://{host}:{server}/data"))
    assert heard == []


@pytest.mark.parametrize("path", ["short", "nothing"])
def test_what_does_not_come_whole_is_told(server: int, path: str) -> None:
    with pytest.raises(NotFetched):
        list(fetcher().fetch(f"http://here.example:{server}/{path}"))


def test_names_and_ports_where_nobody_is_are_told() -> None:
    for uri in ("http://nobody.example/", "http://here.example:1/"):
        with pytest.raises(NotFetched):
            list(fetcher().fetch(uri))


def test_it_takes_no_longer_than_it_may(server: int) -> None:
    times = iter(range(0, 10_000, 100))
    slow = Fetcher(WebDownload(ports=(), private_addresses=True, total_s=250.0), resolve, lambda: float(next(times)))
    with pytest.raises(NotFetched, match="too long"):
        list(slow.fetch(f"http://here.example:{server}/data"))
