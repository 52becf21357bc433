"""ring.safe_pickle"""

import array
import os
import pickle
import pickletools
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ring import safe_pickle
from ring.errors import DamagedFile, RingError, UnknownFormat

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
arrays = st.sampled_from("BHI").flatmap(
    lambda item_format: st.lists(st.integers(0, 255)).map(lambda items: array.array(item_format, items))
)
plain = st.recursive(
    scalars | arrays,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=10,
)


@settings(max_examples=30, deadline=None)
@given(plain)
def test_plain_data_survives_a_round_trip(value: object) -> None:
    data = pickle.dumps(value, 2)
    assert safe_pickle.loads(data) == (value, len(data))


def test_values_that_occur_often_are_one_value() -> None:
    """More than 256 of them, so that they are numbered in four bytes."""
    shared = [{"n": f"value {number}"} for number in range(300)]
    loaded = safe_pickle.loads(pickle.dumps(shared + shared, 2))[0]
    assert loaded == shared + shared
    assert loaded[299] is loaded[599]


def test_what_comes_after_the_end_is_not_looked_at() -> None:
    data = pickle.dumps([1, 2], 2)
    assert safe_pickle.loads(data + b"cos\nsystem\n") == ([1, 2], len(data))


def test_strings_of_python_2_are_read() -> None:
    """SHORT_BINSTRING and BINSTRING."""
    long = "a" * 300
    data = b"\x80\x02(U\x02idT" + len(long).to_bytes(4, "little") + long.encode() + b"U\x03\xc3\xa9!t."
    assert safe_pickle.loads(data)[0] == ("id", long, "é!")


class Payload:
    """Whose unpickling calls what it is told."""

    def __init__(self, call: Callable[..., object], *arguments: object) -> None:
        self._reduced = call, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._reduced


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("nest", [lambda value: value, lambda value: [[{"devs": (value, 1)}]]])
def test_no_command_is_run(tmp_path: Path, protocol: int, nest: Callable[[object], object]) -> None:
    proof = tmp_path / "proof"
    data = pickle.dumps(nest(Payload(os.system, f"touch {proof}")), protocol)
    with pytest.raises(RingError):
        safe_pickle.loads(data)
    assert not proof.exists()
    pickle.loads(data)
    assert proof.exists(), "the payload is none"


@pytest.mark.parametrize(
    "payload",
    [
        Payload(os.system, "true"),
        Payload(eval, "1"),
        Payload(exec, "1"),
        Payload(getattr, "a", "b"),
        Payload(bytearray, 1 << 40),
        Payload(subprocess.Popen, "true"),
        Payload(array._array_reconstructor, array.array, "H", 2, b""),  # type: ignore[attr-defined]
        os.system,
        object(),
        {1, 2},
        b"bytes",
        1j,
        Path("/"),
    ],
)
def test_what_is_no_plain_data_is_refused_by_name(payload: object) -> None:
    """By name, so that an operator who trusts the file knows what is in it."""
    data = pickle.dumps({"devs": payload}, 2)
    with pytest.raises(DamagedFile, match="plain data never does: nothing of it was run") as caught:
        safe_pickle.loads(data)
    assert "\n" not in str(caught.value)


def test_the_name_that_is_asked_for_is_told() -> None:
    with pytest.raises(DamagedFile, match="asks for 'posix' and 'system'"):
        safe_pickle.loads(pickle.dumps(Payload(os.system, "true"), 2))


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02(S'true'\nios\nsystem\n.",  # INST
        b"\x80\x02(cos\nsystem\nX\x04\x00\x00\x00trueo.",  # OBJ
        b"\x80\x02carray\narray\n)\x81.",  # NEWOBJ
        b"\x80\x02carray\narray\n}b.",  # BUILD
        b"\x80\x02\x82\x01.",  # EXT1
        b"\x80\x02Pname\n.",  # PERSID
        b"\x80\x02X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93.",  # STACK_GLOBAL
        b"\x80\x02\x96\xff\xff\xff\xff\xff\xff\xff\x7f.",  # BYTEARRAY8
        b"\x80\x02\x80\x04.",  # PROTO once more
        b"\x80\x02carray\narrays\n.",
        b"\x80\x02carray\n",
        b"\x80\x02\xff.",
    ],
)
def test_no_other_operation_passes(data: bytes) -> None:
    with pytest.raises(DamagedFile, match="nothing of it was run"):
        safe_pickle.loads(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02.",  # nothing to return
        b"\x80\x02h\x05.",  # a value that was never numbered
        b"\x80\x02]]R.",  # a call of a list
        b"\x80\x02carray\narray\n)R.",
        b"\x80\x02carray\narray\nX\x01\x00\x00\x00dX\x00\x00\x00\x00\x86R.",
        b"\x80\x02carray\narray\n]]\x86R.",
        b"\x80\x02carray\narray\nX\x01\x00\x00\x00B](M\xff\xffe\x86R.",
        b"\x80\x02carray\narray\nX\x01\x00\x00\x00B](Ne\x86R.",
        b"\x80\x02}]]s.",  # a list as a key
        b"\x80\x02]]]s.",  # a list as an index
        b"\x80\x02Nt.",
        b"\x80\x02X\x01\x00\x00\x00\xff.",
        b"\x80\x02X\xff\xff\xff\xff.",
        b"\x80\x02\x8a",
        b"\x80\x02",
    ],
)
def test_what_makes_no_sense_is_damage(data: bytes) -> None:
    with pytest.raises(DamagedFile):
        safe_pickle.loads(data)


@pytest.mark.parametrize("protocol", [0, 1, 3, 4, 5])
def test_other_protocols_are_not_known(protocol: int) -> None:
    with pytest.raises(UnknownFormat):
        safe_pickle.loads(pickle.dumps([1], protocol))


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02]r\xff\xff\xff\xff.",  # the four thousand millionth value
        b"\x80\x02" + b"(" * 200_000 + b".",
        b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b".",
        b"\x80\x02]q\x00" + b"(h\x00h\x00tq\x00" * 1000 + b".",  # each twice in the next
    ],
)
def test_memory_stays_in_proportion_to_the_file(data: bytes) -> None:
    tracemalloc.start()
    try:
        safe_pickle.loads(data)
    except DamagedFile:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 500 * len(data) + (1 << 20)


DATA = pickle.dumps({"devs": [{"id": 0, "weight": 1.5}, None], "rows": [array.array("H", [0, 700, 1])]}, 2)


@settings(deadline=None)
@given(st.integers(0, len(DATA) - 1), st.integers(0, 255))
def test_damage_is_refused_or_gives_plain_data(offset: int, byte: int) -> None:
    """It has no checksum; so whoever asked looks at each value."""
    damaged = bytearray(DATA)
    damaged[offset] = byte
    try:
        _value, end = safe_pickle.loads(bytes(damaged))
    except RingError:
        return
    names = {operation.name for operation, _argument, _offset in pickletools.genops(bytes(damaged[:end]))}
    assert names.isdisjoint({"BUILD", "NEWOBJ", "INST", "OBJ", "STACK_GLOBAL", "PERSID", "BINPERSID"})


@pytest.mark.parametrize("length", range(len(DATA)))
def test_a_pickle_cut_short_is_noticed(length: int) -> None:
    with pytest.raises(RingError):
        safe_pickle.loads(DATA[:length])


@pytest.mark.parametrize("value", [300, 70_000, [300] * 9, "text " * 99, 1.5])
def test_a_pickle_cut_in_the_middle_of_a_value_is_said_to_be_cut_short(value: object) -> None:
    data = pickle.dumps(value, 2)
    with pytest.raises(DamagedFile, match="cut short"):
        safe_pickle.loads(data[:-2])
