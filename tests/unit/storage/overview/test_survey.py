"""storage.overview.survey: what states mean. How they are found is in test_up."""

import os
from pathlib import Path
from typing import Any

import pytest

from cluster.config import Config, DeviceConfig, fresh_cluster
from cluster.layout import Layout
from cluster.telemetry.probe import Health, parse_answer
from storage.overview.survey import (
    DEGRADED,
    DOWN,
    HEALTHY,
    Capacity,
    Process,
    Processes,
    assess,
    dead,
    judge,
    warn_of_full,
)
from storage.overview.surveyed import Surveyed

WELL = Health(serves=True, details={})
UP, STOPPED = Process("x", "up"), Process("x", "stopped")


@pytest.mark.parametrize(
    ("known", "is_ready", "answer", "state"),
    [
        ({"state": "running"}, True, WELL, "up"),
        ({"state": "running"}, False, None, "starting"),
        ({"state": "running"}, True, None, "unreachable"),
        ({"state": "running"}, True, Health(False, {}), "failing"),
        ({"state": "waiting"}, False, None, "dead"),
        ({"state": "stopped"}, False, None, "stopped"),
        ({"state": "stopping"}, True, None, "stopping"),
    ],
)
def test_a_process_is_what_it_shows(known: dict[str, Any], is_ready: bool, answer: Health | None, state: str) -> None:
    assert assess("storage-0", known, is_ready, answer).state == state


def test_a_process_tells_its_memory() -> None:
    found = assess("storage-0", {"state": "running", "pid": os.getpid()}, True, WELL)
    assert found.rss_bytes is not None
    assert found.rss_bytes > 1_000_000


@pytest.mark.parametrize(
    ("storage", "proxies", "state"),
    [
        ([UP, UP], [UP], HEALTHY),
        ([UP, STOPPED], [UP], DEGRADED),
        ([UP, UP], [UP, STOPPED], DEGRADED),
        ([UP, UP], [STOPPED], DOWN),
        ([UP, UP], [Process("x", "failing")], DOWN),
    ],
)
def test_the_cluster_is_down_when_no_proxy_serves(storage: list[Process], proxies: list[Process], state: str) -> None:
    assert judge(Processes(storage, proxies)) == state


@pytest.mark.parametrize("state", ["dead", "failing", "unreachable"])
def test_a_cluster_without_its_block_gateway_serves_objects_only(state: str) -> None:
    assert judge(Processes([UP], [UP], [Process("gateway-0", state)])) == DEGRADED


@pytest.mark.parametrize(
    ("state", "deaths", "judged"),
    [("up", 0, HEALTHY), ("starting", 0, HEALTHY), ("starting", 1, DEGRADED), ("dead", 1, DEGRADED)],
)
def test_the_identity_service_may_take_its_time_to_start(state: str, deaths: int, judged: str) -> None:
    service = Process("identity", state, deaths=deaths)
    assert judge(Processes([UP], [UP], services=[service])) == judged


@pytest.mark.parametrize(
    ("answer", "health"),
    [
        (b'HTTP/1.1 200 OK\r\nA: b\r\n\r\n{"a": 1}', Health(True, {"a": 1})),
        (b'HTTP/1.1 503 No\r\n\r\n{"failure": "x"}', Health(False, {"failure": "x"})),
        (b"HTTP/1.0 200 OK\r\n\r\nfine", Health(True, {})),
        (b"HTTP/1.0 200 OK\r\n\r\n[]", Health(True, {})),
        (b"", None),
        (b"SSH-2.0-x\r\n\r\n", None),
    ],
)
def test_an_answer_of_healthz_is_understood(answer: bytes, health: Health | None) -> None:
    assert parse_answer(answer) == health


def test_devices_that_get_full_are_named() -> None:
    devices = tuple(DeviceConfig(id=number, node=f"n{number}", directory=str(number)) for number in range(4))
    config = Config(cluster=fresh_cluster(), devices=devices)
    capacities = {
        0: Capacity(1000, 850, 150),
        1: Capacity(1000, 851, 149),
        2: Capacity(None, None, None),
        3: Capacity(1000, 900, 40),  # 60 are kept for root
    }
    (sentence,) = warn_of_full(config, capacities)
    assert sentence == (
        "There is little room on device 1 of node n1 (85% used), device 3 of node n3 (96% used): delete objects, "
        "or make room on the file system. Above 95% a device refuses writes."
    )


@pytest.mark.parametrize("capacity", [Capacity(1000, 850, 150), Capacity(None, None, None), Capacity(0, 0, 0)])
def test_nothing_is_said_of_devices_with_room_or_without_a_file_system(capacity: Capacity) -> None:
    device = DeviceConfig(id=0, node="n0", directory="0")
    assert not list(warn_of_full(Config(cluster=fresh_cluster(), devices=(device,)), {0: capacity}))


def test_who_reads_of_a_stopped_node_is_told_how_to_start_it() -> None:
    device = DeviceConfig(id=5, node="n2", directory="0")
    config = Config(cluster=fresh_cluster(), devices=(device,))
    surveyed = Surveyed(config, Layout(Path("/data")), option=" --data /data")
    stopped = Processes([Process("storage-5", "stopped")], [Process("proxy-0", "dead")])
    advice = {ailment.what.split()[0]: ailment.advice for ailment in dead(stopped, surveyed)}
    assert advice == {
        "storage-5": "start node n2: `holdfast node start n2 --data /data`",
        "proxy-0": "look at its log",
    }
