"""Disks that qemu has and libvirt does not know of."""

import pytest

pytest.importorskip("libvirt")

from compute.agent.libvirt.strays import unknown


def test_disks_that_libvirt_does_not_know_are_found_and_others_are_left() -> None:
    blocks = [
        {"qdev": "/machine/peripheral/virtio-disk0/virtio-backend", "inserted": {"node-name": "libvirt-2-format"}},
        {"qdev": "/machine/peripheral/virtio-disk1/virtio-backend", "inserted": {"node-name": "libvirt-3-format"}},
        {"qdev": "scsi0-0-0-0", "inserted": {"node-name": "libvirt-1-format"}},
        {"device": "floppy0"},
    ]
    assert unknown(blocks, "<disk><alias name='virtio-disk0'/></disk>") == {"virtio-disk1": "libvirt-3-format"}
