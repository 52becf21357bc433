"""Actions by which a server becomes another one: rebuild, resize and its two ends, shelving, moves to other hosts."""

from collections.abc import Mapping
from typing import Any

from cluster.controlplane.answer import NO_CONTENT, Answer
from compute.instances import block_devices, flavors, hosts, key_pairs, moves, quotas, servers
from compute.instances.api import server_documents, server_forms, server_images
from compute.instances.api.forms import BOOLEAN, Form
from compute.instances.api.parts import Parts
from compute.instances.api.requests import Request, at_least, is_admin
from compute.instances.api.server_access import RULE, asking, begin, note, server_for, unlocked_for
from compute.instances.api.server_asking import named
from compute.instances.api.server_creation import (
    GIB,
    check_image,
    check_user_data,
    image_id_of,
    image_kept,
    password_of,
)
from compute.instances.api.server_mapping import is_of_snapshots
from compute.instances.block_devices import BlockDevice
from compute.instances.errors import Conflict, Invalid, NotFound
from compute.instances.flavors import Flavor
from compute.instances.interfaces import Image
from compute.instances.operations import moving, rebuilding
from compute.instances.operations.shelving import Shelving, Unshelving
from compute.instances.servers import Server
from compute.instances.statuses import Task, VmState
from compute.microversions import found, minor

ACCEPTED = Answer(202)
_RESIZE = Form(
    "",
    {
        "flavorRef": {"type": ["string", "integer"], "minLength": 1},
        "OS-DCF:diskConfig": server_forms.DISK_CONFIG,
        "adminPass": {"type": "string"},
    },
    required=("flavorRef",),
)
_MIGRATE = Form("", {"host": {"type": ["string", "null"], "maxLength": 255}})
_UNSHELVE = Form("", {"availability_zone": {"type": ["string", "null"]}, "host": {"type": "string"}})
_EVACUATE = Form(
    "",
    {
        "host": {"type": "string", "minLength": 1, "maxLength": 255},
        "onSharedStorage": BOOLEAN,
        "force": BOOLEAN,
        "adminPass": {"type": "string"},
    },
)
_OF_VOLUMES = 93  # the first version that rebuilds servers which begin with a volume
_REBUILDABLE = (VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED, VmState.SUSPENDED, VmState.ERROR)


def ask_image(parts: Parts, token: str, document: Mapping[str, Any]) -> Image | None:
    """Return the image that a server is to be made anew from."""
    about = named(document, "rebuild")
    reference = image_id_of(about.get("imageRef")) if about else None
    if not reference:
        return None
    with asking():
        return parts.images.show(reference, token)


def rebuild(context: Request, server_id: str, about: Any) -> Answer:
    """Make a server anew from an image: what it begins with is made of the image, all else stays."""
    server_forms.rebuilding(minor(context)).check({"rebuild": about})
    server = unlocked_for(context, f"{RULE}servers:rebuild", server_id)
    servers.require(server, "rebuild", _REBUILDABLE)
    image: Image | None = found(context)
    root = next((each for each in block_devices.of_server(context.connection, server.id) if each.is_root), None)
    is_local = root is not None and root.is_local
    check_image(image, server.kind, about["imageRef"], has_local_root=is_local)
    assert image is not None
    columns = _rebuilt(context, server, about, image)
    if not is_local:
        _require_fillable(context, root, image)
        del columns["image_id"]  # such a server has none
    if about.get("personality"):
        raise Invalid("Personality files are not put into servers here: use user data.")
    was_off = server.vm_state == VmState.STOPPED
    begin(context, server, "rebuild", rebuilding.NAME, columns, image_id=image.id, was_off=was_off)
    again = servers.get(context.connection, server.id)
    document = server_documents.changed(context, again)
    if at_least(context, 54):
        document["key_name"] = again.key_name
    document["adminPass"] = password_of(about)
    if at_least(context, 57):
        document.pop("OS-EXT-SRV-ATTR:user_data", None)
        document["user_data"] = columns.get("user_data", server.user_data)
    return Answer(202, {"server": document}, {"Location": document["links"][0]["href"]})


def _require_fillable(context: Request, root: BlockDevice | None, image: Image) -> None:
    """Raise Invalid unless the volume that a server begins with can be made of an image."""
    if not at_least(context, _OF_VOLUMES) or root is None or root.volume_id is None:
        raise Invalid("Unable to rebuild with a different image for a volume-backed server.")
    needed = max(image.min_disk * GIB, image.virtual_size)
    if root.volume_gb is not None and root.volume_gb * GIB < needed:
        raise Invalid(f"Volume is smaller than the image: volume is {root.volume_gb} GiB, image is {needed} bytes.")
    if is_of_snapshots(image):
        raise Invalid(f"Image {image.id} consists of snapshots: volumes are not filled with such.")


def _rebuilt(context: Request, server: Server, about: Mapping[str, Any], image: Image) -> dict[str, Any]:
    columns: dict[str, Any] = {"task_state": Task.REBUILDING, "image_id": image.id, "image": image_kept(image)}
    if "name" in about:
        columns["name"] = about["name"].strip()
    for name, column in (
        ("description", "description"),
        ("metadata", "metadata"),
        ("hostname", "hostname"),
        ("OS-DCF:diskConfig", "disk_config"),
        ("accessIPv4", "access_ipv4"),
        ("accessIPv6", "access_ipv6"),
    ):
        if name in about:
            columns[column] = about[name]
    if "user_data" in about:
        check_user_data(about["user_data"])
        columns["user_data"] = about["user_data"]
    if "key_name" in about:
        key = None
        if about["key_name"] is not None:
            key = key_pairs.find(context.connection, server.user_id, about["key_name"])
            if key is None:
                raise Invalid("Invalid key_name provided.")
        columns |= {"key_name": key.name if key else None, "key_data": key.public_key if key else None}
    return columns


def resize(context: Request, server_id: str, about: Any) -> Answer:
    """Give a server another flavor, until somebody says whether it stays so."""
    attributes = _RESIZE.check(about)
    flavor_id = str(attributes["flavorRef"]).rstrip("/").rpartition("/")[2]
    server = unlocked_for(context, f"{RULE}servers:resize", server_id)
    servers.require(server, "resize", (VmState.ACTIVE, VmState.STOPPED))
    flavor = _new_flavor(context, server, flavor_id)
    added = {"cores": flavor.vcpus - server.vcpus, "ram": flavor.memory_mib - server.memory_mib}
    wanted = {name: amount for name, amount in added.items() if amount > 0}
    if wanted:
        quotas.require(context.connection, context.parts.settings.quotas, server.project_id, server.user_id, wanted)
    if "OS-DCF:diskConfig" in attributes:
        disk_config = attributes["OS-DCF:diskConfig"]
        servers.change(context.connection, server.id, context.now_us, disk_config=disk_config)
    _begin_move(context, server, flavor, "resize", moves.RESIZE, exclude=False)
    return ACCEPTED


def migrate(context: Request, server_id: str, about: Any) -> Answer:
    """Bring a server to another host: off, and on again there."""
    target = _MIGRATE.check(about or {}).get("host") if at_least(context, 56) else None
    server = unlocked_for(context, f"{RULE}os-migrate-server:migrate", server_id)
    servers.require(server, "migrate", (VmState.ACTIVE, VmState.STOPPED))
    if target is not None:
        context.enforce(f"{RULE}os-migrate-server:migrate:host")
        if target == server.host:
            raise Invalid(f"The target host can't be the same one: {target}.")
        _known_host(context, target)
    _begin_move(context, server, server.kind, "migrate", moves.MIGRATION, exclude=True, target=target)
    return ACCEPTED


def confirm_resize(context: Request, server_id: str, _about: Any) -> Answer:
    """Say that a resized server stays so."""
    server = unlocked_for(context, f"{RULE}servers:confirm_resize", server_id)
    servers.require(server, "confirmResize", (VmState.RESIZED,))
    note(context, server, "confirmResize")
    moving.confirm(context.connection, server, context.now_us)
    return NO_CONTENT


def revert_resize(context: Request, server_id: str, _about: Any) -> Answer:
    """Have a resized server be what it was."""
    server = unlocked_for(context, f"{RULE}servers:revert_resize", server_id)
    servers.require(server, "revertResize", (VmState.RESIZED,))
    begin(context, server, "revertResize", moving.Reverting.NAME, {"task_state": Task.RESIZE_REVERTING})
    return ACCEPTED


def evacuate(context: Request, server_id: str, about: Any) -> Answer:
    """Have a server run elsewhere whose host is down."""
    attributes = _EVACUATE.check(about)
    server = server_for(context, f"{RULE}os-evacuate", server_id)
    servers.require(server, "evacuate", (VmState.ACTIVE, VmState.STOPPED, VmState.ERROR))
    if server.host is None:
        raise Conflict(f"Instance {server.id} is on no host.")
    if hosts.get(context.connection, server.host).is_up(context.now_us):
        raise Invalid(f"Compute service of {server.host} is still in use.")
    if attributes.get("host"):
        _known_host(context, attributes["host"])
    moves.note(
        context.connection,
        context.now_us,
        server_id=server.id,
        project_id=server.project_id,
        user_id=server.user_id,
        kind=moves.EVACUATION,
        status="accepted",
        source=server.host,
        old_flavor_id=server.flavor_id,
        new_flavor_id=server.flavor_id,
    )
    columns = {"task_state": Task.REBUILDING}
    begin(context, server, "evacuate", moving.Evacuating.NAME, columns, target=attributes.get("host"))
    return Answer(200) if at_least(context, 14) else Answer(200, {"adminPass": password_of(attributes)})


def shelve(context: Request, server_id: str, _about: Any) -> Answer:
    """Take a server off its host; a disk of its own becomes an image, volumes stay."""
    server = unlocked_for(context, f"{RULE}os-shelve:shelve", server_id)
    states = (VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED, VmState.SUSPENDED)
    servers.require(server, "shelve", states)
    image = server_images.shelved(context, server)
    begin(context, server, "shelve", Shelving.NAME, {"task_state": Task.SHELVING}, image=image)
    if image is not None:
        server_images.announce(context, image)
    return ACCEPTED


def shelve_offload(context: Request, server_id: str, _about: Any) -> Answer:
    """Take a shelved server off its host, where that was not done with shelving."""
    server = unlocked_for(context, f"{RULE}os-shelve:shelve_offload", server_id)
    servers.require(server, "shelveOffload", (VmState.SHELVED,))
    begin(context, server, "shelveOffload", Shelving.NAME, {"task_state": Task.OFFLOADING})
    return ACCEPTED


def unshelve(context: Request, server_id: str, about: Any) -> Answer:
    """Bring a shelved server back."""
    attributes = _UNSHELVE.check(about or {})
    server = unlocked_for(context, f"{RULE}os-shelve:unshelve", server_id)
    servers.require(server, "unshelve", (VmState.SHELVED, VmState.OFFLOADED))
    target = attributes.get("host")
    if target:
        context.enforce(f"{RULE}os-shelve:unshelve_to_host")
        _known_host(context, target)
    columns: dict[str, Any] = {"task_state": Task.UNSHELVING}
    if "availability_zone" in attributes and at_least(context, 77):
        columns["wish"] = {**server.wish, "zone": attributes["availability_zone"]}
    begin(context, server, "unshelve", Unshelving.NAME, columns, target=target)
    return ACCEPTED


def _new_flavor(context: Request, server: Server, flavor_id: str) -> Flavor:
    try:
        flavor = flavors.visible(context.connection, flavor_id, server.project_id, is_admin(context))
    except NotFound as error:
        raise Invalid(str(error)) from None
    if flavor.id == server.flavor_id:
        raise Invalid("When resizing, instances must change flavor!")
    if flavor.disabled:
        raise Invalid(f"Flavor {flavor_id} is disabled.")
    root = next((each for each in block_devices.of_server(context.connection, server.id) if each.is_root), None)
    if root is not None and root.is_local and 0 < flavor.disk_gb < server.kind.disk_gb:
        raise Invalid("Cannot resize disk to a smaller size.")
    if flavor.memory_mib < int(server.image.get("min_ram") or 0):
        raise Invalid("Flavor's memory is too small for requested image.")
    return flavor


def _begin_move(
    context: Request,
    server: Server,
    flavor: Flavor,
    action: str,
    kind: str,
    exclude: bool,
    target: str | None = None,
) -> None:
    moving.begin_resize(context.connection, server, flavor, context.now_us)
    moves.note(
        context.connection,
        context.now_us,
        server_id=server.id,
        project_id=server.project_id,
        user_id=server.user_id,
        kind=kind,
        source=server.host,
        old_flavor_id=server.flavor_id,
        new_flavor_id=flavor.id,
    )
    columns = {"task_state": Task.RESIZE_PREP}
    begin(context, server, action, moving.Resizing.NAME, columns, exclude=exclude, target=target)


def _known_host(context: Request, name: str) -> None:
    try:
        hosts.get(context.connection, name)
    except NotFound as error:
        raise Invalid(str(error)) from None
