"""Guests' serial lines: what is kept of them."""

from pathlib import Path

from compute.agent import consoles
from compute.agent.consoles import cut_log, read_log


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
