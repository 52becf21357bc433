"""The host over HTTP: the client, the application, and between them real threads and sockets."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import falcon.testing
import pytest
from waitress.server import create_server

from cluster.controlplane.daemon import listening
from compute.agent.api import CALLS, host_application
from compute.agent.client import ClusterHosts, HostClient
from compute.agent.guest import Guest, Power, Told, document_of, value_of
from compute.asking import ServiceLogin
from compute.stored import NoSuch, NotYet, Refused, Unreachable
from identity.keystone.tokens.token import Method, Person, Token
from tests.unit.compute.agent.memory import START_US, MemoryHost, disk, guest, nic

CALLER = "c" * 32


class KnownTokens:
    """`compute.tokens.Tokens`: a text is the id of a user."""

    def validate(self, text: str) -> Token | None:
        if not text:
            return None
        return Token(Person(text, text, "default", "Default"), (Method.PASSWORD,), None, (), START_US, START_US, ("a",))


class Login(ServiceLogin):
    """Somebody's token."""

    def __init__(self, text: str) -> None:
        self._text = text

    def token(self) -> str:
        return self._text

    def forget(self) -> None:
        """There is no other."""


@pytest.fixture
def site(tmp_path: Path) -> MemoryHost:
    return MemoryHost(tmp_path)


@pytest.fixture
def url(site: MemoryHost) -> Iterator[str]:
    listener = listening("127.0.0.1", 0)
    server = create_server(host_application(site.host, KnownTokens(), CALLER), sockets=[listener], threads=4)
    threading.Thread(target=server.run, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.task_dispatcher.shutdown()


@pytest.fixture
def client(url: str) -> HostClient:
    return HostClient("here", url, Login(CALLER))


def test_a_guest_goes_over_the_wire_and_back(site: MemoryHost, client: HostClient) -> None:
    web = guest(disks=(disk(1, boot_index=0, limits={"total_iops_sec": 5}), disk(2, read_only=True)))
    state = client.define(web, running=True)
    assert state == client.find(web.id) == site.host.find(web.id)
    record = site.store.get(web.id)
    assert record is not None
    assert record.guest == web
    assert value_of(Guest, document_of(web)) == web


def test_every_call_goes_over_the_wire(site: MemoryHost, client: HostClient) -> None:
    web = guest()
    client.define(web, running=True)
    assert client.pause(web.id).power is Power.PAUSED
    assert client.start(web.id).power is Power.RUNNING
    assert client.attach(web.id, disk(2)).disks == ("volume-1", "volume-2")
    assert client.resize(web.id, "volume-2", 2 << 30).power is Power.RUNNING
    assert client.detach(web.id, "volume-2").disks == ("volume-1",)
    assert client.plug(web.id, nic(2)).nics == (nic(1).mac, nic(2).mac)
    assert client.unplug(web.id, nic(2).mac).nics == (nic(1).mac,)
    client.tell(web.id, Told(meta_data={"a": ["b"]}))
    assert site.store.get(web.id).guest.told.meta_data == {"a": ["b"]}  # type: ignore[union-attr]
    assert client.reboot(web.id, "a", 0).power is Power.RUNNING
    display = client.display(web.id, "serial")
    assert (display.kind, display.host, display.relay_host) == ("serial", "127.0.0.1", "127.0.0.1")
    assert client.diagnostics(web.id)["driver"] == "libvirt"
    assert client.console_log(web.id, None) == ""
    assert client.freeze(web.id, frozen=True) is False
    assert client.set_password(web.id, "root", "without") is False
    assert client.set_password(web.id, "root", "with an agent") is True
    assert client.suspend(web.id).power is Power.SUSPENDED
    client.start(web.id)
    assert client.stop(web.id, 0).power is Power.OFF
    client.remove(web.id)
    assert client.find(web.id) is None
    assert client.state() == replace(site.host.state())
    assert set(CALLS) <= set(dir(HostClient))


def test_who_waits_is_told_of_changes(site: MemoryHost, client: HostClient) -> None:
    seen = client.seen()
    assert client.seen(seen.tag, wait_s=0.05) == seen
    found: list[Any] = []
    waiter = threading.Thread(target=lambda: found.append(client.seen(seen.tag, wait_s=60)))
    waiter.start()
    web = guest()
    site.host.define(web, running=False)
    waiter.join(60)
    assert [state.id for state in found[0].guests] == [web.id]


def test_what_goes_wrong_is_the_same_at_both_ends(site: MemoryHost, client: HostClient) -> None:
    web = guest()
    with pytest.raises(NoSuch):
        client.start(web.id)
    with pytest.raises(Refused, match="virtual CPUs"):
        client.define(replace(web, vcpus=0), running=True)
    client.define(web, running=True)
    for error in (Unreachable("away"), NotYet("soon"), Refused("never")):
        site.hypervisor.errors["pause"] = error
        with pytest.raises(type(error), match=str(error)):
            client.pause(web.id)
    nobody = HostClient("nobody", "http://127.0.0.1:1", Login(CALLER))
    with pytest.raises(Unreachable):
        nobody.state()


def test_nobody_else_is_let_in(url: str) -> None:
    for text, error in (("somebody", Refused), ("", Unreachable)):
        with pytest.raises(error):
            HostClient("here", url, Login(text)).state()


def test_what_is_not_sensible_is_refused_and_never_a_traceback(site: MemoryHost) -> None:
    client = falcon.testing.TestClient(host_application(site.host, KnownTokens(), CALLER))
    headers = {"X-Auth-Token": CALLER}
    web = guest()
    site.host.define(web, running=False)
    for method, path, body in (
        ("PUT", f"/v1/guests/{web.id}", b"nonsense"),
        ("PUT", f"/v1/guests/{web.id}", b"[]"),
        ("PUT", f"/v1/guests/{web.id}", b'{"guest": {"id": 5}, "running": true}'),
        ("PUT", f"/v1/guests/{web.id}", b'{"guest": 5, "running": true}'),
        ("POST", f"/v1/guests/{web.id}/attach", b"{}"),
        ("POST", f"/v1/guests/{web.id}/attach", b'{"disk": {"serial": []}}'),
        ("POST", f"/v1/guests/{web.id}/stop", b'{"soft_s": "long"}'),
        ("POST", f"/v1/guests/{web.id}/console_log", b'{"lines": "all"}'),
        ("GET", "/v1/guests/..%2f..%2fetc", b""),
    ):
        answer = client.simulate_request(method, path, body=body, headers=headers)
        assert answer.status_code in (404, 422), (path, body, answer.text)
        assert answer.json["error"] in ("Refused", "NoSuch")
    assert client.simulate_post(f"/v1/guests/{web.id}/dance", headers=headers).status_code == 404


def test_hosts_are_found_by_name(url: str) -> None:
    hosts = ClusterHosts({"here": url}, Login(CALLER))
    assert hosts.names() == ("here",)
    assert hosts.get("here").state().name == "here"
    with pytest.raises(NoSuch):
        hosts.get("there")
