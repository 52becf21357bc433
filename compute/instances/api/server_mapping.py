"""Block device mappings: from what a client says of a new server's disks to the disks, in both of Nova's forms.

source      destination
image       local      a disk of the server's own, which begins as the image: the root disk alone
image       volume     a new volume of the image
snapshot    volume     a new volume of the snapshot
volume      volume     that volume
blank       volume     a new, empty volume
blank       local      a disk of the server's own: ephemeral, or with guest_format swap, swap
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from compute.instances import block_devices
from compute.instances.api.forms import number, truth
from compute.instances.block_devices import BLANK, EPHEMERAL, IMAGE, LOCAL, ROOT, SNAPSHOT, SWAP, VOLUME, BlockDevice
from compute.instances.errors import Invalid
from compute.instances.flavors import Flavor
from compute.instances.interfaces import Image
from compute.records import new_id

BUSES = ("virtio", "scsi", "sata", "ide", "usb", "fdc")
_SEQUENCE = (
    "Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping combination is "
    "not valid."
)


def wanted(attributes: Mapping[str, Any], image: Image | None) -> list[dict[str, Any]]:
    """Return the mappings in the second form: those of the image, then those of the request. Raise Invalid."""
    first, second = attributes.get("block_device_mapping"), attributes.get("block_device_mapping_v2")
    if first and second:
        raise Invalid("Using different block_device_mapping syntaxes is not allowed in the same request.")
    asked = [_second_form(each, image) for each in first] if first else [dict(each) for each in second or ()]
    of_image = _of_image(image)
    named = {each.get("device_name") for each in asked if each.get("device_name")}
    boots = any(_boot_index(each) == 0 for each in asked)
    kept = [
        each for each in of_image if each.get("device_name") not in named and not (boots and _boot_index(each) == 0)
    ]
    return [each for each in (*kept, *asked) if not each.get("no_device")]


def devices_of(
    mappings: Sequence[Mapping[str, Any]],
    image: Image | None,
    flavor: Flavor,
    server_id: str,
    now_us: int,
) -> list[BlockDevice]:
    """Return the disks of a server, the root disk first. Raise Invalid."""
    bus = image.properties.get("hw_disk_bus", "virtio") if image else "virtio"
    found = [_device(each, server_id, now_us, image) for each in mappings]
    if image is not None and not is_of_snapshots(image) and not any(each.is_root for each in found):
        found.append(_root(image, flavor, server_id, now_us, bus))
    _check_sequence(found)
    locals_ = [each for each in found if each.use in (EPHEMERAL, SWAP)]
    if sum(each.gib for each in locals_ if each.use == EPHEMERAL) > flavor.ephemeral_gb:
        raise Invalid("Ephemeral disks requested are larger than the instance type allows.")
    if sum(each.gib for each in locals_ if each.use == SWAP) > flavor.swap_mib:
        raise Invalid("Swap drive requested is larger than instance type allows.")
    if flavor.ephemeral_gb and not any(each.use == EPHEMERAL for each in locals_):
        found.append(_own(EPHEMERAL, flavor.ephemeral_gb, server_id, now_us))
    if flavor.swap_mib and not any(each.use == SWAP for each in locals_):
        found.append(_own(SWAP, flavor.swap_mib, server_id, now_us))
    found.sort(key=lambda each: not each.is_root)
    return _named(found)


def volume_ids(mappings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the volumes that are named."""
    return [str(_source_id(each, VOLUME)) for each in mappings if each.get("source_type") == VOLUME]


def snapshot_ids(mappings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the snapshots that are named."""
    return [str(_source_id(each, SNAPSHOT)) for each in mappings if each.get("source_type") == SNAPSHOT]


def image_ids(mappings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the images that volumes are to be made of."""
    return [str(_source_id(each, IMAGE)) for each in mappings if each.get("source_type") == IMAGE]


def _second_form(mapping: Mapping[str, Any], image: Image | None) -> dict[str, Any]:
    found = dict(mapping)
    found.pop("virtual_name", None)
    if mapping.get("no_device"):
        return found
    if mapping.get("volume_id"):
        found |= {"source_type": VOLUME, "destination_type": VOLUME, "uuid": mapping["volume_id"]}
    elif mapping.get("snapshot_id"):
        found |= {"source_type": SNAPSHOT, "destination_type": VOLUME, "uuid": mapping["snapshot_id"]}
    else:
        raise Invalid("Block Device Mapping is Invalid.")
    name = str(mapping.get("device_name") or "")
    if image is None and (name.rstrip("0123456789").endswith("da") or name == ""):
        found["boot_index"] = 0  # there is nothing else that it could begin with
    return found


def _of_image(image: Image | None) -> list[dict[str, Any]]:
    if image is None or not is_of_snapshots(image):
        return []
    try:
        found = json.loads(image.properties["block_device_mapping"])
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Invalid(f"Image {image.id} has a block device mapping that cannot be read.")
    return [{name: value for name, value in each.items() if value is not None} for each in found]


def is_of_snapshots(image: Image) -> bool:
    """Tell whether an image consists of snapshots of volumes, and has no data."""
    return "block_device_mapping" in image.properties


def _device(mapping: Mapping[str, Any], server_id: str, now_us: int, image: Image | None) -> BlockDevice:
    source = mapping.get("source_type")
    if source not in (IMAGE, SNAPSHOT, VOLUME, BLANK):
        raise Invalid("Block Device Mapping is Invalid: a source_type is needed.")
    destination = mapping.get("destination_type") or (LOCAL if source in (IMAGE, BLANK) else VOLUME)
    index = _boot_index(mapping)
    if index is not None and index < 0:
        index = None
    size = _size(mapping)
    device = BlockDevice(
        id=new_id(),
        server_id=server_id,
        place=0,
        source=source,
        destination=destination,
        created_at_us=now_us,
        boot_index=index,
        device_name=_device_name(mapping),
        bus=_bus(mapping),
        device_type=mapping.get("device_type") or "disk",
        volume_gb=size,
        volume_type=mapping.get("volume_type"),
        delete_on_termination=truth(
            mapping.get("delete_on_termination", destination == LOCAL), "delete_on_termination"
        ),
        tag=mapping.get("tag"),
    )
    if source == BLANK:
        return _blank(device, mapping, size)
    source_id = _source_id(mapping, source)
    if not source_id:
        raise Invalid("Block Device Mapping is Invalid: a uuid is needed.")
    if source == IMAGE and destination == LOCAL:
        if index != 0 or image is None or source_id != image.id:
            raise Invalid("Block Device Mapping is Invalid: Mapping image to local is not supported.")
        return replace(device, image_id=source_id, use=ROOT, delete_on_termination=True)
    if destination == LOCAL:
        raise Invalid(f"Block Device Mapping is Invalid: a {source} is no local disk.")
    if source == IMAGE and size is None:
        raise Invalid(
            "Volume size is needed to make a volume of an image: Images with destination_type 'volume' need "
            "to have a non-zero size specified"
        )
    named: dict[str, Any] = {f"{source}_id": source_id}
    return replace(device, **named)


def _blank(device: BlockDevice, mapping: Mapping[str, Any], size: int | None) -> BlockDevice:
    if device.destination == VOLUME:
        if size is None:
            raise Invalid("Blank volumes (source: 'blank', dest: 'volume') need to have non-zero size")
        return device
    swap = mapping.get("guest_format") == "swap"
    return replace(device, use=SWAP if swap else EPHEMERAL, gib=size or 0, volume_gb=None, boot_index=None)


def _root(image: Image, flavor: Flavor, server_id: str, now_us: int, bus: str) -> BlockDevice:
    return BlockDevice(
        id=new_id(),
        server_id=server_id,
        place=0,
        source=IMAGE,
        destination=LOCAL,
        created_at_us=now_us,
        boot_index=0,
        bus=bus if bus in BUSES else "virtio",
        image_id=image.id,
        use=ROOT,
        gib=flavor.disk_gb,
        delete_on_termination=True,
    )


def _own(use: str, size: int, server_id: str, now_us: int) -> BlockDevice:
    """Return a disk of the server's own: `size` is in GiB, but of swap in MiB."""
    return BlockDevice(
        id=new_id(),
        server_id=server_id,
        place=0,
        source=BLANK,
        destination=LOCAL,
        created_at_us=now_us,
        use=use,
        gib=size,
        delete_on_termination=True,
    )


def _check_sequence(found: Sequence[BlockDevice]) -> None:
    indexes = sorted(each.boot_index for each in found if each.boot_index is not None)
    if indexes != list(range(len(indexes))) or not indexes:
        raise Invalid(_SEQUENCE)


def _named(found: Sequence[BlockDevice]) -> list[BlockDevice]:
    names = [each.device_name for each in found if each.device_name]
    if len(names) != len(set(names)):
        raise Invalid("Block Device Mapping is Invalid: a device name is there twice.")
    done = list(found)
    for place, each in enumerate(done):
        name = each.device_name or block_devices.next_name(done, None)
        done[place] = replace(each, place=place, device_name=name)
    return done


def _source_id(mapping: Mapping[str, Any], source: str) -> str | None:
    found = mapping.get("uuid") or mapping.get(f"{source}_id")
    return str(found) if found else None


def _boot_index(mapping: Mapping[str, Any]) -> int | None:
    text = mapping.get("boot_index")
    if text is None or text == "" or text == "None":
        return None
    return number(text, "boot_index", -1_000_000)


def _size(mapping: Mapping[str, Any]) -> int | None:
    text = mapping.get("volume_size")
    return None if text in (None, "") else number(text, "volume_size", 1)


def _bus(mapping: Mapping[str, Any]) -> str:
    bus = mapping.get("disk_bus") or "virtio"
    if bus not in BUSES:
        raise Invalid(f"Block Device Mapping is Invalid: there is no disk_bus {bus}.")
    return str(bus)


def _device_name(mapping: Mapping[str, Any]) -> str | None:
    name = mapping.get("device_name")
    if not name:
        return None
    return str(name) if str(name).startswith("/dev/") else f"/dev/{name}"
