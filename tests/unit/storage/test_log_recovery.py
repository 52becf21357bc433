"""storage.log.recovery, by what a log opened on a damaged copy says."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.log import record as records
from storage.log.device import DeviceLog
from storage.log.interface import START, Appended, offset_of, segment_of
from storage.log.record import _HEADER, MAGIC

KIND = 1
SEGMENT = "00000001.segment"


def write_and_crash(path: Path, batches: list[int], **options: int) -> list[Appended]:
    """Append batches of so many records to a new log; copy it to path/crashed while it is open."""

    async def run() -> list[Appended]:
        log = DeviceLog(str(path / "log"), **options)
        log.start()
        written: list[Appended] = []
        for count in batches:
            batch = [log.append_record(KIND, b"m%d" % (len(written) + n), b"p" * 60) for n in range(count)]
            await asyncio.gather(*[item.future for item in batch])
            written += batch
        shutil.copytree(path / "log", path / "crashed")
        await log.close()
        return written

    return asyncio.run(run())


def opened(path: Path) -> tuple[list[bytes], int]:
    """Open the log, append a record, and return what a second opening finds, and the number of damages."""

    async def run() -> tuple[list[bytes], int]:
        log = DeviceLog(str(path))
        log.start()
        await log.append(KIND, b"new")
        await log.close()
        log = DeviceLog(str(path))
        found = [record.metadata for record in log.scan(START, payloads=True)]
        damages = len(log.damages)
        sequences = [record.sequence for record in log.scan(START)]
        assert sequences == sorted(set(sequences))
        await log.close()
        return found, damages

    return asyncio.run(run())


def damaged_copy(path: Path, change: Callable[[bytearray], None], segment: str = SEGMENT) -> Path:
    copy = path / "damaged"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(path / "crashed", copy)
    data = bytearray((copy / segment).read_bytes())
    change(data)
    (copy / segment).write_bytes(data)
    return copy


def names(count: int) -> list[bytes]:
    return [b"m%d" % n for n in range(count)]


def test_zeros_written_ahead_are_no_records(tmp_path: Path) -> None:
    write_and_crash(tmp_path, [3, 2])
    assert (tmp_path / "crashed" / SEGMENT).stat().st_size > 100_000
    assert opened(tmp_path / "crashed") == ([*names(5), b"new"], 0)


@pytest.mark.parametrize("inside", [0, 1, 39, 45, 90])
def test_cut_at_or_in_any_record_the_log_ends_before_it(tmp_path: Path, inside: int) -> None:
    written = write_and_crash(tmp_path, [6])
    for index, item in enumerate(written):
        cut = offset_of(item.position) + inside

        def cut_off(data: bytearray, cut: int = cut) -> None:
            del data[cut:]

        assert opened(damaged_copy(tmp_path, cut_off)) == ([*names(index), b"new"], 0)


@pytest.mark.parametrize("offset_in_record", [0, 5, 20, 36, 41, 60])
def test_a_torn_batch_comes_back_only_up_to_its_gap(tmp_path: Path, offset_in_record: int) -> None:
    """Its later records are whole, and still do not count: they were never acknowledged."""
    written = write_and_crash(tmp_path, [2, 6])
    for index in range(2, 8):
        place = offset_of(written[index].position) + offset_in_record

        def flip(data: bytearray, place: int = place) -> None:
            data[place] ^= 0x40

        assert opened(damaged_copy(tmp_path, flip)) == ([*names(index), b"new"], 0)


def test_an_object_full_of_what_looks_like_headers_holds_no_start_up(tmp_path: Path) -> None:
    """A client chooses what is in a torn batch; each header that names a megabyte of metadata would have it summed."""
    fake = _HEADER.pack(0, MAGIC, KIND, 0, 0, 1 << 19, 0, 0, 0, 0, 1 << 40)
    summed = []

    async def run() -> None:
        log = DeviceLog(str(tmp_path / "log"))
        log.start()
        await log.append(KIND, b"good")
        torn = log.append_record(KIND, b"torntorn", fake * ((1 << 20) // len(fake)))
        await torn.future
        shutil.copytree(tmp_path / "log", tmp_path / "crashed")
        await log.close()
        segment = tmp_path / "crashed" / SEGMENT
        data = bytearray(segment.read_bytes())
        data[offset_of(torn.end) - 16] ^= 1
        segment.write_bytes(data)

    asyncio.run(run())
    with pytest.MonkeyPatch.context() as patched:
        plain = records.head_matches
        patched.setattr(records, "head_matches", lambda *arguments: summed.append(0) or plain(*arguments))
        assert opened(tmp_path / "crashed") == ([b"good", b"new"], 0)
    assert len(summed) < 20


def test_damage_before_a_later_batch_is_reported_and_passed_over(tmp_path: Path) -> None:
    """A batch is written only when everything before it is durable: so this was, and is damage."""
    written = write_and_crash(tmp_path, [3, 3, 3])

    def flip(data: bytearray) -> None:
        data[offset_of(written[4].position) + 50] ^= 1

    found, damages = opened(damaged_copy(tmp_path, flip))
    assert next(name for name in names(9) if name not in found) == b"m4"
    assert found[-4:] == [b"m6", b"m7", b"m8", b"new"]
    assert damages >= 1


def test_a_wiped_page_in_a_sealed_segment_is_reported_and_passed_over(tmp_path: Path) -> None:
    written = write_and_crash(tmp_path, [1] * 200, segment_bytes=16384)
    victims = [item for item in written if segment_of(item.position) == 1]
    low, high = 4096, 8192

    def wipe(data: bytearray) -> None:
        data[low:high] = bytes(high - low)

    found, damages = opened(damaged_copy(tmp_path, wipe))
    lost = [
        item.metadata for item in victims if offset_of(item.position) < high and offset_of(item.end) > low
    ]
    assert [item.metadata for item in written if item.metadata not in found] == lost
    assert damages == 1
    assert found[-1] == b"new"


def test_a_sealed_segment_that_was_cut_is_reported(tmp_path: Path) -> None:
    written = write_and_crash(tmp_path, [1] * 200, segment_bytes=16384)
    last = [item for item in written if segment_of(item.position) == 1][-1]

    def cut_off(data: bytearray) -> None:
        del data[offset_of(last.position) :]

    found, damages = opened(damaged_copy(tmp_path, cut_off))
    assert len(found) == 200
    assert damages == 1


def test_a_segment_header_that_is_damaged_costs_no_record(tmp_path: Path) -> None:
    write_and_crash(tmp_path, [1] * 200, segment_bytes=16384)

    def wipe(data: bytearray) -> None:
        data[:64] = bytes(64)

    assert opened(damaged_copy(tmp_path, wipe)) == ([*names(200), b"new"], 1)
    last = sorted(path.name for path in (tmp_path / "crashed").glob("*.segment"))[-1]
    found, damages = opened(damaged_copy(tmp_path, wipe, last))
    assert found == [*names(200), b"new"]
    assert damages == 1


def test_a_segment_that_was_being_created_is_forgotten(tmp_path: Path) -> None:
    written = write_and_crash(tmp_path, [3])

    def seal(data: bytearray) -> None:
        del data[offset_of(written[-1].end) :]

    for torn in (b"", b"HFSEGMNT", bytes(64)):
        copy = damaged_copy(tmp_path, seal)
        (copy / "00000002.segment").write_bytes(torn)
        assert opened(copy) == ([*names(3), b"new"], 0)


def test_a_last_segment_that_is_damaged_as_a_whole_is_kept_and_reported(tmp_path: Path) -> None:
    write_and_crash(tmp_path, [1] * 50, segment_bytes=2048)
    last = sorted(path.name for path in (tmp_path / "crashed").glob("*.segment"))[-1]

    def wipe(data: bytearray) -> None:
        data[:] = bytes(len(data))

    found, damages = opened(damaged_copy(tmp_path, wipe, last))
    assert found[0] == b"m0"
    assert found[-1] == b"new"
    assert damages >= 1


def test_repeated_crashes_and_openings_lose_nothing(tmp_path: Path) -> None:
    write_and_crash(tmp_path, [2])
    for _ in range(3):
        found, damages = opened(tmp_path / "crashed")
    assert (found, damages) == ([*names(2), *[b"new"] * 3], 0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), length=st.integers(1, 300))
def test_whatever_is_overwritten_what_is_found_was_written_in_that_order(
    tmp_path_factory: pytest.TempPathFactory, seed: int, length: int
) -> None:
    path = tmp_path_factory.mktemp("log")
    written = write_and_crash(path, [2, 3, 4])
    end = offset_of(written[-1].end)
    place = 64 + seed % (end - 64)

    def overwrite(data: bytearray) -> None:
        data[place : place + length] = bytes((seed >> shift & 0xFF) for shift in range(length))

    found, _ = opened(damaged_copy(path, overwrite))
    assert found[-1] == b"new"
    kept = found[:-1]
    assert kept == [name for name in names(9) if name in kept]
    untouched = [item.metadata for item in written if offset_of(item.end) <= place]
    assert kept[: len(untouched)] == untouched


def test_a_whole_record_at_the_wrong_place_is_damage_and_hides_none_behind_it(tmp_path: Path) -> None:
    """A misdirected write: the record of another place of the same segment, checksums and all."""
    for source, target in ((7, 2), (2, 7)):
        path = tmp_path / f"{source}"
        path.mkdir()
        written = write_and_crash(path, [1] * 10)

        from_, end = offset_of(written[source].position), offset_of(written[source].end)
        to = offset_of(written[target].position)

        def misdirect(data: bytearray, from_: int = from_, end: int = end, to: int = to) -> None:
            data[to : to + end - from_] = data[from_:end]

        found, damages = opened(damaged_copy(path, misdirect))
        assert found == [*(name for index, name in enumerate(names(10)) if index != target), b"new"]
        assert damages == 1


def test_a_sector_that_was_never_written_is_damage(tmp_path: Path) -> None:
    """A lost write: what was there before, zeros, is there still."""
    written = write_and_crash(tmp_path, [1] * 50)
    low = offset_of(written[20].position) // 512 * 512

    def lose(data: bytearray) -> None:
        data[low : low + 512] = bytes(512)

    found, damages = opened(damaged_copy(tmp_path, lose))
    hit = [item for item in written if offset_of(item.end) > low and offset_of(item.position) < low + 512]
    assert [name for name in names(50) if name not in found] == [item.metadata for item in hit]
    assert damages == 1


def test_only_damage_that_recovery_had_to_pass_over_is_lost(tmp_path: Path) -> None:
    written = write_and_crash(tmp_path, [1] * 30)

    def flip(data: bytearray) -> None:
        data[offset_of(written[10].position) + 8] ^= 1

    copy = damaged_copy(tmp_path, flip)
    log = DeviceLog(str(copy))
    assert [found.metadata for found in log.scan(written[20].position)] == names(30)[20:]
    assert log.lost == []
    assert len(log.damages) == 1
    assert len(list(log.scan(START))) == 29
    assert [damage.position for damage in log.lost] == [written[10].position]
    asyncio.run(log.close())


def test_damage_that_is_found_while_it_runs_is_not_lost(tmp_path: Path) -> None:
    """Whoever scans then knows already what was there."""
    written = write_and_crash(tmp_path, [1] * 30)

    def flip(data: bytearray) -> None:
        data[offset_of(written[10].position) + 8] ^= 1

    async def run() -> None:
        log = DeviceLog(str(damaged_copy(tmp_path, flip)))
        log.start()
        assert len(list(log.scan(START))) == 29
        assert log.lost == []
        await log.close()

    asyncio.run(run())
