"""blockgw/nbd/protocol.py: which requests go on to a volume."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockgw.errors import Errno
from blockgw.interfaces import BlockSizes, MiB
from blockgw.nbd.protocol import (
    EXTENDED_FLAGS,
    SIMPLE_FLAGS,
    STRUCTURED_FLAGS,
    Command,
    CommandFlag,
    Request,
    refusal,
)


class Volume:
    def __init__(self, size: int = 1 << 30, read_only: bool = False, minimum: int = 1) -> None:
        self.size, self.read_only, self.block_sizes = size, read_only, BlockSizes(minimum)


def request(command: int, offset: int = 0, length: int = 512, flags: int = 0) -> Request:
    return Request(0, flags, command, 7, offset, length)


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (Command.READ, Errno.EINVAL),
        (Command.WRITE, Errno.ENOSPC),
        (Command.WRITE_ZEROES, Errno.ENOSPC),
        (Command.TRIM, Errno.EINVAL),
        (Command.CACHE, Errno.EINVAL),
        (Command.BLOCK_STATUS, Errno.EINVAL),
    ],
)
@pytest.mark.parametrize(("offset", "length"), [(4096, 512), (4095, 2), ((1 << 64) - 1, 1)])
def test_what_lies_past_the_end_is_refused(command: Command, error: Errno, offset: int, length: int) -> None:
    """doc/proto.md, "Error values": ENOSPC for what would make it grow."""
    assert refusal(request(command, offset, length), Volume(4096), SIMPLE_FLAGS) is error


@pytest.mark.parametrize("command", list(Command))
def test_what_ends_at_the_end_is_served(command: Command) -> None:
    assert refusal(request(command, 4096 - 512), Volume(4096), SIMPLE_FLAGS) is None


@pytest.mark.parametrize("command", [Command.WRITE, Command.TRIM, Command.WRITE_ZEROES])
def test_what_changes_a_volume_that_is_read_only_is_refused(command: Command) -> None:
    """doc/proto.md, "Transmission flags": EPERM."""
    assert refusal(request(command), Volume(read_only=True), SIMPLE_FLAGS) is Errno.EPERM


@pytest.mark.parametrize("command", [Command.READ, Command.FLUSH, Command.CACHE, Command.BLOCK_STATUS])
def test_what_only_looks_at_a_volume_that_is_read_only_is_served(command: Command) -> None:
    assert refusal(request(command), Volume(read_only=True), SIMPLE_FLAGS) is None


@pytest.mark.parametrize("command", [8, 100, 65535])
def test_an_unknown_command_is_refused(command: int) -> None:
    assert refusal(request(command), Volume(), EXTENDED_FLAGS) is Errno.EINVAL


def test_a_flag_is_valid_where_it_means_something_and_fua_everywhere() -> None:
    """doc/proto.md, "Command flags"."""
    valid = {
        (command.name, flag.name)
        for command in Command
        for flag in CommandFlag
        if refusal(request(command, flags=flag), Volume(), EXTENDED_FLAGS) is None
    }
    assert valid == {(command.name, "FUA") for command in Command} | {
        ("READ", "DF"),
        ("WRITE", "PAYLOAD_LEN"),
        ("WRITE_ZEROES", "NO_HOLE"),
        ("WRITE_ZEROES", "FAST_ZERO"),
        ("BLOCK_STATUS", "REQ_ONE"),
    }
    assert refusal(request(Command.READ, flags=CommandFlag.DF), Volume(), SIMPLE_FLAGS) is Errno.EINVAL
    assert refusal(request(Command.WRITE, flags=CommandFlag.PAYLOAD_LEN), Volume(), STRUCTURED_FLAGS) is Errno.EINVAL


def test_a_payload_is_bounded_and_what_has_none_is_not() -> None:
    """doc/proto.md, "Block size constraints"."""
    for command, error in ((Command.READ, Errno.EINVAL), (Command.WRITE, Errno.EINVAL), (Command.TRIM, None)):
        assert refusal(request(command, length=32 * MiB + 1), Volume(), SIMPLE_FLAGS) is error
    assert refusal(request(Command.READ, length=32 * MiB), Volume(), SIMPLE_FLAGS) is None


def test_a_block_status_of_nothing_is_refused() -> None:
    """doc/proto.md, NBD_CMD_BLOCK_STATUS: the length is not zero."""
    assert refusal(request(Command.BLOCK_STATUS, length=0), Volume(), SIMPLE_FLAGS) is Errno.EINVAL


@pytest.mark.parametrize(("offset", "length"), [(256, 512), (512, 100)])
def test_what_does_not_fit_the_block_size_is_refused(offset: int, length: int) -> None:
    volume = Volume(minimum=512)
    assert refusal(request(Command.READ, offset, length), volume, SIMPLE_FLAGS) is Errno.EINVAL
    assert refusal(request(Command.READ, 512, 1024), volume, SIMPLE_FLAGS) is None


@given(
    *(st.integers(0, 65535) for _ in range(2)),
    *(st.integers(0, (1 << 64) - 1) for _ in range(2)),
    st.sampled_from((SIMPLE_FLAGS, STRUCTURED_FLAGS, EXTENDED_FLAGS)),
)
def test_no_request_raises(flags: int, command: int, offset: int, length: int, valid: dict[int, int]) -> None:
    assert refusal(request(command, offset, length, flags), Volume(), valid) in (None, *Errno)
