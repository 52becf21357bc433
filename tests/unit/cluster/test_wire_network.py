"""Addresses, and socket files."""

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from cluster.wire.network import SocketNetwork, check_address, tcp_endpoint, unix_path


def listen(address: str) -> None:
    """Listen for a moment."""

    async def scenario() -> None:
        listener = await SocketNetwork().listen(address, asyncio.BufferedProtocol)
        listener.close()

    asyncio.run(scenario())


def test_addresses_name_a_path_or_a_host_and_port() -> None:
    assert unix_path("unix:/run/a.sock") == "/run/a.sock"
    assert tcp_endpoint("tcp:node-1:6000") == ("node-1", 6000)
    assert tcp_endpoint("tcp:[::1]:6000") == ("::1", 6000)


@pytest.mark.parametrize("address", ["", "unix:", "/run/a.sock", "tcp:host", "tcp::5", "tcp:host:x", "tcp:host:70000"])
def test_anything_else_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        check_address(address)


def test_a_socket_file_is_for_its_owner_only(tmp_path: Path) -> None:
    async def scenario() -> int:
        listener = await SocketNetwork().listen(f"unix:{tmp_path}/s", asyncio.BufferedProtocol)
        mode = stat.S_IMODE(os.stat(tmp_path / "s").st_mode)
        listener.close()
        return mode

    assert asyncio.run(scenario()) == 0o600
    assert list(tmp_path.iterdir()) == []


def test_a_stale_socket_file_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    assert (tmp_path / "s").exists()
    listen(f"unix:{tmp_path}/s")


def test_a_socket_file_in_use_is_left_alone(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "s"))
        other.listen()
        with pytest.raises(OSError, match="another process"):
            listen(f"unix:{tmp_path}/s")
        assert (tmp_path / "s").exists()


def test_closing_leaves_the_socket_file_of_a_successor(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = await SocketNetwork().listen(f"unix:{tmp_path}/s", asyncio.BufferedProtocol)
        os.rename(tmp_path / "s", tmp_path / "old")
        second = await SocketNetwork().listen(f"unix:{tmp_path}/s", asyncio.BufferedProtocol)
        first.close()
        assert (tmp_path / "s").exists()
        second.close()
        assert not (tmp_path / "s").exists()

    asyncio.run(scenario())


def test_a_listener_on_port_0_tells_its_port() -> None:
    async def scenario() -> str:
        listener = await SocketNetwork().listen("tcp:127.0.0.1:0", asyncio.BufferedProtocol)
        address = listener.address
        listener.close()
        return address

    host, port = tcp_endpoint(asyncio.run(scenario()))
    assert host == "127.0.0.1"
    assert port > 0
