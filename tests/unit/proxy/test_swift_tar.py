"""Archives, as `tarfile` writes them, read as they come in."""

import asyncio
import bz2
import gzip
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.swift import tar
from tests.unit.proxy.memory_service import BytesBody

FILES = {"a/1": b"one", "a/2": b"", "a/" + "n" * 150: b"x" * 600, "b/ö": b"y" * 512}


def _archive(mode: str, files: dict[str, bytes], archive_format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=archive_format) as archive:  # type: ignore[call-overload]
        directory = tarfile.TarInfo("a")
        directory.type = tarfile.DIRTYPE
        archive.addfile(directory)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.pax_headers = {"SCHILY.xattr.user.meta.k": "ü"}
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


async def _read(data: bytes, compression: str, piece_size: int) -> dict[str, bytes]:
    found = {}
    async for member in tar.files(tar.Stream(BytesBody(data, piece_size), compression)):
        content = bytearray()
        while piece := await member.read():
            content += piece
        found[member.name] = bytes(content)
    return found


@pytest.mark.parametrize("compression", ["", "gz", "bz2"])
@pytest.mark.parametrize("archive_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("piece_size", [1, 511, 1 << 20])
def test_files_come_out_whatever_the_pieces(compression: str, archive_format: int, piece_size: int) -> None:
    data = _archive(f"w:{compression}", FILES, archive_format)
    assert asyncio.run(_read(data, compression, piece_size)) == FILES


@pytest.mark.parametrize("compression", ["gz", "bz2"])
def test_compressed_streams_in_a_row_are_one_archive(compression: str) -> None:
    plain = _archive("w:", FILES)
    compress = gzip.compress if compression == "gz" else bz2.compress
    data = compress(plain[:700]) + compress(plain[700:])
    assert asyncio.run(_read(data, compression, 300)) == FILES


def test_what_is_not_read_of_a_file_is_passed_over() -> None:
    async def names() -> list[str]:
        stream = tar.Stream(BytesBody(_archive("w:", FILES)), "")
        return [member.name async for member in tar.files(stream)]

    assert asyncio.run(names()) == list(FILES)


def test_extended_attributes_are_told() -> None:
    async def attributes() -> str:
        async for member in tar.files(tar.Stream(BytesBody(_archive("w:", {"f": b""})), "")):
            return member.attributes["SCHILY.xattr.user.meta.k"]
        return ""

    assert asyncio.run(attributes()) == "ü"


@pytest.mark.parametrize("compression", ["", "gz", "bz2"])
def test_an_archive_that_ends_early_is_bad(compression: str) -> None:
    data = _archive(f"w:{compression}", {"f": bytes(range(256)) * 40})
    for cut in (len(data) // 2, 30):
        with pytest.raises(tar.BadArchive):
            asyncio.run(_read(data[:cut], compression, 1 << 20))


@pytest.mark.parametrize(("data", "compression"), [(b"x" * 512, ""), (b"x" * 512, "gz"), (b"x" * 512, "bz2")])
def test_what_is_no_archive_is_bad(data: bytes, compression: str) -> None:
    with pytest.raises(tar.BadArchive):
        asyncio.run(_read(data, compression, 512))


@pytest.mark.parametrize("records", [b"99 a=b\n", b"x", b"0 a=b\n", b"4 ab\n", b"11 size=-5\n"])
def test_bad_attributes_do_no_harm(records: bytes) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, len(records)
    data = header.tobuf() + records.ljust(512, b"\0") + tarfile.TarInfo("f").tobuf()
    try:
        found = asyncio.run(_read(data, "", 512))
    except tar.BadArchive:
        return
    assert found in ({"f": b""}, {})


def test_attributes_without_an_end_are_refused() -> None:
    """A few megabytes of gzip are gigabytes of them."""

    def header(kind: bytes, records: bytes) -> bytes:
        info = tarfile.TarInfo("pax")
        info.type, info.size = kind, len(records)
        return info.tobuf() + records + bytes(-len(records) % 512)

    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE):
        many = b"".join(header(kind, b"12 %04d=abc\n\n"[:12] % number) for number in range(2000))
        large = b"".join(header(kind, b"300010 %02d=%s\n" % (number, b"x" * 299_999)) for number in range(10))
        for data in (many, large):
            with pytest.raises(tar.BadArchive, match="too many attributes"):
                asyncio.run(_read(data + tarfile.TarInfo("f").tobuf(), "", 1 << 20))


def test_what_decompresses_to_much_lets_others_run() -> None:
    data = gzip.compress(_archive("w:", {"f": bytes(10 << 20)}))

    async def turns() -> int:
        reading = asyncio.ensure_future(_read(data, "gz", len(data)))
        count = 0
        while not reading.done():
            await asyncio.sleep(0)
            count += 1
        return count

    assert asyncio.run(turns()) > 100


@given(st.data())
def test_damage_is_noticed_or_harmless(data: st.DataObject) -> None:
    archive = bytearray(_archive("w:", {"f": b"x" * 20}))
    for _ in range(data.draw(st.integers(1, 4))):
        archive[data.draw(st.integers(0, 3 * 512))] = data.draw(st.integers(0, 255))
    try:
        asyncio.run(_read(bytes(archive), "", 512))
    except tar.BadArchive:
        return
