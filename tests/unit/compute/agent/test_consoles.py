"""Guests' serial lines: what is kept of them, and who may have them."""

import os
import pty
import socket
from pathlib import Path

from compute.agent import consoles
from compute.agent.consoles import SerialLines, cut_log, read_log


def test_the_last_lines_are_told(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    assert read_log(path, None) == ""
    path.write_bytes(b"one\r\ntwo\r\n\xff\x00three")
    assert read_log(path, None) == "one\ntwo\n\ufffdthree"
    assert read_log(path, 2) == "two\n\ufffdthree"
    assert read_log(path, 0) == ""


def test_a_log_is_cut_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    with path.open("ab") as guest:  # as qemu has it
        for round_number in range(4):
            guest.write(b"%d" % round_number * (consoles.LOG_LIMIT + 1) + b"\nend\n")
            guest.flush()
            cut_log(path)
            assert path.stat().st_size == 0
            guest.write(b"after\n")
            guest.flush()
            assert read_log(path, 2) == "end\nafter\n"
    assert sum(each.stat().st_size for each in tmp_path.iterdir()) <= 2 * consoles.LOG_LIMIT
    assert len(read_log(path, None)) <= consoles.READ_LIMIT
    cut_log(tmp_path / "nothing")


def test_a_line_is_open_to_who_has_a_ticket_once() -> None:
    guest, terminal = pty.openpty()
    lines = SerialLines("127.0.0.1", lambda guest_id: os.ttyname(terminal) if guest_id == "web" else "")
    lines.admit("web", "ticket")
    with socket.create_connection((lines.host, lines.port), 30) as connection:
        connection.sendall(b"ticket\nhello")
        assert os.read(guest, 5) == b"hello"
        os.write(guest, b"answer")
        assert connection.recv(6) == b"answer"
    for wrong in (b"ticket\n", b"\n", b"x" * 1000):  # it was for once
        with socket.create_connection((lines.host, lines.port), 30) as connection:
            connection.sendall(wrong)
            assert ended(connection)
    lines.close()
    os.close(guest)
    os.close(terminal)


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
