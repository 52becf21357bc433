"""What the service told last, through outages and restarts; and what it is told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cluster.layout import Layout
from compute.agent.guest import Nic
from compute.agent.wiring import source
from compute.agent.wiring.choosing import chosen
from compute.agent.wiring.interface import USER
from compute.agent.wiring.source import Reporter, Source
from compute.agent.wiring.user import UserNetwork
from compute.agent.wiring.wanted import wanted_of
from compute.stored import Unreachable
from tests.unit.compute.agent.wiring.wanted import (
    NETWORK_ID,
    PORT_IDS,
    MemoryNetworkService,
    network,
    port,
    subnet,
    wanted,
)

NIC = Nic(mac="fa:16:3e:00:01:00", port_id=PORT_IDS[0], network_id=NETWORK_ID)


def test_what_was_told_last_outlives_the_process_and_the_service(tmp_path: Path) -> None:
    service = MemoryNetworkService()
    first = Source(service, tmp_path / "kept")
    assert first.current.ports == {}
    service.set([network()], [port(0)])
    assert first.refresh() is True
    assert first.refresh() is False
    service.is_away = True
    second = Source(service, tmp_path / "kept")
    assert set(second.current.ports) == {PORT_IDS[0]}
    with pytest.raises(Unreachable):
        second.refresh()


def test_of_two_answers_that_cross_none_is_put_in_the_place_of_a_newer_one(tmp_path: Path) -> None:
    class Crossing(MemoryNetworkService):
        crossed = False

        def wanted(self, tag: str, wait_s: float) -> Mapping[str, Any] | None:
            answer = super().wanted(tag, wait_s)
            if not self.crossed:  # this one is on its way when another one is asked for, and gets there first
                self.crossed = True
                self.set([network()], [port(0), port(1)])
                assert followed.refresh()
            return answer

    service = Crossing()
    service.set([network()], [port(0)])
    followed = Source(service, tmp_path / "kept")
    assert followed.refresh() is False
    assert len(followed.current.ports) == 2
    assert followed.refresh() is False


def test_an_outage_is_noticed_and_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_AWAY_S", 0.0)
    service = MemoryNetworkService()
    followed = Source(service, tmp_path / "kept")
    service.is_away = True
    assert (followed.follow(), followed.is_away) == (False, True)
    service.is_away = False
    assert (followed.follow(), followed.is_away) == (True, False)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"tag": "1"}', '{"tag": "1", "wanted": {"networks": [{}]}}'])
def test_a_damaged_file_is_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "kept").write_text(text)
    damaged = Source(MemoryNetworkService(), tmp_path / "kept")
    assert damaged.current.ports == {}
    assert damaged.refresh() is True


def test_what_is_not_understood_is_refused() -> None:
    documents: list[dict[str, Any]] = [
        {},
        {"networks": 1},
        {"networks": [], "ports": [{}], "groups": {}, "members": {}},
    ]
    for document in documents:
        with pytest.raises(ValueError, match="not understood"):
            wanted_of(document)


@pytest.mark.parametrize(
    "networks",
    [
        network("../../etc"),
        network(dns_domain="x\ndhcp-script=/bin/sh"),
        network(dhcp={"mac": "fa:16:3e:00:00:02; reboot", "addresses": []}),
        network(addresses=["10.0.0.2/24\n"]),
        network(subnets=[subnet(mode="x\ny")]),
        network(subnets=[subnet(dns_nameservers=["1.1.1.1\nx"])]),
    ],
)
def test_what_would_be_more_than_a_value_in_a_file_of_roots_is_refused(networks: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not understood|does not appear"):
        wanted([networks], [])


@pytest.mark.parametrize(
    "about",
    [
        {"mac": "x"},
        {"addresses": ["10.0.0.1 accept"]},
        {"groups": ["} drop"]},
        {"pairs": [["fa:16:3e:00:00:02", "10.0.0.0/24 }"]]},
        {"options": [[4, "a", "b\nc"]]},
        {"options": [[4, "a\nb", "c"]]},
    ],
)
def test_and_neither_in_a_port(about: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not understood|does not appear"):
        wanted([network()], [port(0, **about)])


def test_cards_are_told_of_when_they_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_AWAY_S", 0.0)
    service = MemoryNetworkService()
    reporter = Reporter(service, {}, often_s=3600.0)
    for up in ([], [], ["a"], ["a"], ["b", "a"]):
        reporter.tell(up)
    assert service.told == [((), True), (("a",), False), (("a", "b"), False)]
    service.is_away = True
    reporter.tell([])
    service.is_away = False
    reporter.tell(["a", "b"])  # whether the last was heard is not known
    assert service.told[-1] == (("a", "b"), False)
    assert len(service.told) == 4


def test_without_privileges_cards_are_only_counted(tmp_path: Path) -> None:
    service = MemoryNetworkService()
    wiring = chosen(USER, Layout(tmp_path), 0, service)
    assert isinstance(wiring, UserNetwork)
    assert wiring.plug("guest", NIC).mode == USER
    wiring.plug("guest", NIC)
    wiring = chosen(USER, Layout(tmp_path), 0, service)  # another process
    (report,) = wiring.chores()
    report.step()
    assert service.told[-1][0] == (PORT_IDS[0],)
    wiring.unplug("guest", NIC)
    report.step()
    assert not service.told[-1][0]
    assert wiring.namespaces() == {}
