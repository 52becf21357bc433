"""compute.images.formats: good images pass, however they are cut; those that would harm, or lie, do not."""

import contextlib
import random
import shutil
from pathlib import Path

import pytest

from compute.images.errors import Refused
from compute.images.formats.inspection import Inspection
from tests.unit.compute.images.formats import hostile
from tests.unit.compute.images.formats.hostile import MiB, vmdk, vmdk_descriptor

MOST = 1 << 40
needs_qemu = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img makes the images")


def inspected(data: bytes, disk_format: str, container_format: str = "bare", piece: int = 64 * 1024) -> int | None:
    inspection = Inspection(disk_format, container_format, MOST)
    for offset in range(0, len(data), piece):
        inspection.eat(memoryview(data)[offset : offset + piece])
    return inspection.finish()


def is_refused(data: bytes, disk_format: str, words: str = "The") -> None:
    for piece in (64 * 1024, 4 * MiB, 700):
        with pytest.raises(Refused, match=words):
            inspected(data, disk_format, piece=piece)


@needs_qemu
@pytest.mark.parametrize(
    ("disk_format", "options"),
    [
        ("qcow2", ()),
        ("qcow2", ("-o", "compat=0.10")),
        ("qcow2", ("-o", "cluster_size=2M")),
        ("qcow2", ("-c",)),
        ("vmdk", ()),
        ("vmdk", ("-o", "subformat=streamOptimized")),
        ("vdi", ()),
        ("vdi", ("-o", "static=on")),
    ],
)
def test_images_as_qemu_makes_them_pass(tmp_path: Path, disk_format: str, options: tuple[str, ...]) -> None:
    image = hostile.with_data(tmp_path, disk_format, *options)
    for piece in (64 * 1024, len(image), 1000, 513):
        assert inspected(image, disk_format, piece=piece) == 4 * MiB


def test_raw_bytes_and_disks_pass() -> None:
    chance = random.Random(1)
    for image in (b"", b"x", b"text\n" * 1000, chance.randbytes(3 * MiB), bytes(MiB), hostile.partitioned(),
                  b"#!/bin/sh\n" * 60 + b"\xff" * 1000, b"text " * 200_000 + b"\xff\xfe"):
        for disk_format in ("raw", "ami", "aki"):
            assert inspected(image, disk_format, "bare" if disk_format == "raw" else disk_format) == len(image)


def test_a_cd_passes_as_one() -> None:
    assert inspected(hostile.iso(), "iso") == MiB
    bootable = hostile.patched(hostile.iso(), 0, hostile.partitioned(512))
    assert inspected(bootable, "iso") == MiB
    is_refused(bytes(MiB), "iso", "looks like raw")
    is_refused(hostile.iso(), "raw", "looks like iso")


@pytest.mark.parametrize(
    ("image", "looks"),
    [
        (hostile.qcow2(), "qcow2"),
        (hostile.vdi(), "vdi"),
        (vmdk(vmdk_descriptor()), "vmdk"),
        (vmdk_descriptor("monolithicFlat", 'RW 8192 FLAT "/etc/passwd" 0'), "The"),
        (b"QFI\xfb", "The"),
        (b"KDMV", "The"),
        (b"# Disk DescriptorFile\n", "The"),
        (b"COWD" + bytes(1000), "The"),
        (b"QED\0" + bytes(1000), "qed"),
        (b"conectix" + bytes(1000), "vhd"),
        (b"LUKS\xba\xbe\x00\x01" + bytes(1000), "luks"),
    ],
)
@pytest.mark.parametrize("disk_format", ["raw", "ari"])
def test_what_is_declared_raw_and_looks_like_something_else_is_refused(
    image: bytes, looks: str, disk_format: str
) -> None:
    """Others, that guess, would follow what is in it."""
    for data in (image, image + bytes(2 * MiB)):
        with pytest.raises(Refused, match=looks):
            inspected(data, disk_format, disk_format if disk_format == "ari" else "bare")


@pytest.mark.parametrize("disk_format", ["qcow2", "vmdk", "vdi", "iso"])
def test_what_is_not_what_it_was_declared_to_be_is_refused(disk_format: str) -> None:
    images = {
        "raw": bytes(2 * MiB), "empty": b"", "text": b"hello " * 1000, "disk": hostile.partitioned(),
        "qcow2": hostile.qcow2(), "vdi": hostile.vdi(), "vmdk": vmdk(vmdk_descriptor()), "iso": hostile.iso(),
    }
    for kind, image in images.items():
        if kind != disk_format:
            is_refused(image, disk_format)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (hostile.qcow2(backing=512), "backing"),
        (hostile.qcow2(version=2, backing=512), "backing"),
        (hostile.qcow2(features=1 << 2), "data_file|data file|not safe"),
        (hostile.qcow2(features=1 << 40), "not safe"),
        (hostile.qcow2(version=4), "not safe|version"),
        (hostile.qcow2(version=1), "not safe|version|clusters"),
        (hostile.qcow2(encryption=1), "encrypted"),
        (hostile.qcow2(encryption=2), "encrypted"),
        (hostile.qcow2(cluster_bits=40), "clusters"),
        (hostile.qcow2(extensions=b"DATA" + bytes(4)), "data file"),
        (hostile.qcow2(extensions=b"\xe2\x79\x2a\xca\0\0\0\x03raw" + bytes(5) + b"DATA\0\0\0\x01/"), "data file"),
        (hostile.qcow2(extensions=(b"XTRA" + bytes(4)) * 80), "too many"),
        (hostile.qcow2(size=MOST + 512), "allowed"),
        (hostile.qcow2(size=2**63), "allowed"),
        (hostile.qcow2(size=0), "allowed"),
    ],
)
def test_a_qcow2_that_leads_elsewhere_or_beyond_is_refused(image: bytes, words: str) -> None:
    is_refused(image, "qcow2", words)
    is_refused(image + bytes(2 * MiB), "qcow2", words)


def test_a_header_that_is_cut_off_is_refused() -> None:
    for length in (4, 80, 103, 511):
        is_refused(hostile.qcow2()[:length], "qcow2")


FLAT = 'RW 8192 FLAT "other-image" 0'


@pytest.mark.parametrize(
    "image",
    [
        vmdk_descriptor("monolithicFlat", 'RW 8192 FLAT "/etc/passwd" 0'),
        vmdk_descriptor("twoGbMaxExtentFlat", FLAT),
        vmdk(vmdk_descriptor("monolithicFlat", FLAT)),
        vmdk(vmdk_descriptor(extents='RW 8192 SPARSE "/etc/passwd"')),
        vmdk(vmdk_descriptor(extents='RW 8192 SPARSE "..\\passwd"')),
        vmdk(vmdk_descriptor(extents=FLAT)),
        vmdk(vmdk_descriptor(extents='RW 4096 SPARSE "a"\nRW 4096 SPARSE "b"')),
        vmdk(vmdk_descriptor(extents="")),
        vmdk(vmdk_descriptor(more='parentFileNameHint="/etc/passwd"\n')),
        vmdk(vmdk_descriptor(more='PARENTFILENAMEHINT="x"\n')),
        # oslo.utils takes the first, whatever its case; qemu the first in this very spelling
        vmdk(vmdk_descriptor("monolithicFlat", FLAT, first='# createtype="monolithicsparse"\n')),
        vmdk(vmdk_descriptor("monolithicFlat", FLAT, first='createtype="monolithicsparse"\n')),
        vmdk(vmdk_descriptor("monolithicSparse", more='createType="monolithicFlat"\n')),
        vmdk(vmdk_descriptor(), capacity=0),  # qemu then reads the descriptor as one that stands alone
        vmdk(vmdk_descriptor(), capacity=2**50),
        vmdk(vmdk_descriptor(), offset=3),
        vmdk(b"\xff" * 512),
        vmdk(b""),
        vmdk(vmdk_descriptor())[:600],
        b"KDMV" + bytes(60),
        b"KDMV" + b"\xff" * 60,
    ],
)
def test_a_vmdk_that_leads_elsewhere_is_refused(image: bytes) -> None:
    is_refused(image, "vmdk")
    is_refused(image + bytes(2 * MiB), "vmdk")


def test_a_plain_vmdk_is_not() -> None:
    assert inspected(vmdk(vmdk_descriptor()), "vmdk") == 4 * MiB


@needs_qemu
def test_images_with_parents_as_qemu_makes_them_are_refused(tmp_path: Path) -> None:
    for disk_format in ("qcow2", "vmdk"):
        hostile.made(tmp_path, disk_format)
        parent = tmp_path / f"image.{disk_format}"
        parent.rename(tmp_path / "parent")
        child = hostile.made(tmp_path, disk_format, "4M", "-b", "parent", "-F", disk_format)
        is_refused(child, disk_format, "backing|not safe")
    image = hostile.made(tmp_path, "qcow2", "4M", "-o", f"data_file={tmp_path}/data")
    is_refused(image, "qcow2", "data")


@pytest.mark.parametrize(("size", "passes"), [(MOST, True), (MOST + 1, False), (0, False)])
def test_the_disk_in_a_vdi_has_a_limit(size: int, passes: bool) -> None:
    if passes:
        assert inspected(hostile.vdi(size), "vdi") == size
    else:
        is_refused(hostile.vdi(size), "vdi", "allowed")


def test_two_formats_in_one_file_are_refused() -> None:
    both = hostile.patched(hostile.qcow2().ljust(MiB, b"\0"), 32 * 1024, b"\x01CD001\x01")
    is_refused(both, "qcow2", "looks like")
    is_refused(both, "iso", "looks like")


def test_archives_are_not_looked_at() -> None:
    assert inspected(hostile.qcow2(backing=512), "vmdk", "ova") is None


def test_it_is_certain_early_when_it_can_be() -> None:
    for data, disk_format in ((hostile.qcow2(), "raw"), (bytes(MiB), "qcow2"), (hostile.qcow2(backing=512), "qcow2")):
        inspection = Inspection(disk_format, "bare", MOST)
        with pytest.raises(Refused):
            inspection.eat(data.ljust(MiB, b"\0"))


def test_no_bytes_make_it_fail_otherwise() -> None:
    """What it raises is Refused, or nothing, whatever comes."""
    chance = random.Random(2)
    seeds = [hostile.qcow2(), hostile.vdi(), vmdk(vmdk_descriptor()), hostile.iso(64 * 1024)]
    seeds.append(b"vhdxfile".ljust(300_000, b"\1"))
    for number in range(300):
        data = bytearray(seeds[number % len(seeds)])
        for _ in range(chance.randrange(1, 30)):
            data[chance.randrange(min(len(data), 1200))] = chance.randrange(256)
        data = data[: chance.choice((len(data), chance.randrange(len(data))))]
        for disk_format in ("raw", "qcow2", "vmdk", "vdi", "iso"):
            with contextlib.suppress(Refused):
                inspected(bytes(data), disk_format, piece=chance.choice((500, 100_000)))
