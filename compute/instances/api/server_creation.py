"""POST /v2.1/servers: what a new server is to be is checked as a whole, and stored; an operation makes it.

What others know (images, volumes, networks) is asked before the transaction begins, with the user's token: so nobody
gets what the user may not use.
"""

import base64
import binascii
import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cluster.controlplane.answer import Answer
from compute.instances import (
    aggregates,
    block_devices,
    cards,
    flavors,
    hosts,
    key_pairs,
    quotas,
    server_actions,
    server_groups,
    servers,
)
from compute.instances.api import server_forms, server_mapping, server_networks
from compute.instances.api.forms import number, truth
from compute.instances.api.parts import Parts
from compute.instances.api.requests import Request, at_least, is_admin, links, own_target, project_of
from compute.instances.api.server_access import asking
from compute.instances.block_devices import BLANK, IMAGE, SNAPSHOT, VOLUME, BlockDevice
from compute.instances.errors import Invalid, NotFound, OverQuota
from compute.instances.flavors import Flavor
from compute.instances.interfaces import Image, Port, Volume
from compute.instances.operations import building, equipment, moving
from compute.instances.servers import SUBJECT, Server
from compute.microversions import asking_first, found, minor
from compute.operations import journal
from compute.records import new_id
from compute.stored import NoSuch

GIB = 1 << 30
_RULE = "os_compute_api:servers:create"
_ATTACHABLE = "available"
_PASSWORD_SIZE = 12


@dataclass(frozen=True, slots=True)
class Outside:
    """What others know of what a request names."""

    image: Image | None = None
    images: Mapping[str, Image | None] = field(default_factory=dict)
    volumes: Mapping[str, Volume | None] = field(default_factory=dict)
    snapshots: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    networks: Sequence[Mapping[str, Any]] = ()
    ports: Mapping[str, Port | None] = field(default_factory=dict)
    group_ids: Sequence[str] = ()
    missing: str = ""  # a security group
    token: str = ""


def ask_outside(parts: Parts, token: str, document: Mapping[str, Any]) -> Outside:
    """Return what others know. What is no proper request is refused later."""
    attributes = document.get("server") if isinstance(document, Mapping) else None
    if not isinstance(attributes, Mapping):
        return Outside()
    with asking():
        return _asked(parts, token, attributes)


def _asked(parts: Parts, token: str, attributes: Mapping[str, Any]) -> Outside:
    reference = image_id_of(attributes.get("imageRef"))
    image = parts.images.show(reference, token) if reference else None
    mappings = _mappings(attributes, image)
    networks = attributes.get("networks")
    named = [each for each in networks if isinstance(each, Mapping)] if isinstance(networks, list) else []
    port_ids = {str(each["port"]) for each in named if each.get("port")}
    wants_networks = networks != server_networks.NONE
    groups = [
        str(each["name"])
        for each in attributes.get("security_groups") or ()
        if isinstance(each, Mapping) and each.get("name") not in (None, "default")
    ]
    group_ids, missing = list[str](), ""
    try:
        if groups:
            wanted = list(dict.fromkeys(groups))
            if any(
                isinstance(each, Mapping) and each.get("name") == "default" for each in attributes["security_groups"]
            ):
                wanted.append("default")
            group_ids = list(parts.network.security_groups(wanted, token))
    except NoSuch as error:
        missing = str(error)
    return Outside(
        image=image,
        images={each: parts.images.show(each, token) for each in set(server_mapping.image_ids(mappings))},
        volumes={each: parts.volumes.show(each, token) for each in set(server_mapping.volume_ids(mappings))},
        snapshots={
            each: parts.volumes.show_snapshot(each, token) for each in set(server_mapping.snapshot_ids(mappings))
        },
        networks=parts.network.networks(token) if wants_networks else (),
        ports={each: parts.network.show_port(each, token) for each in port_ids},
        group_ids=group_ids,
        missing=missing,
        token=token,
    )


def _mappings(attributes: Mapping[str, Any], image: Image | None) -> list[dict[str, Any]]:
    try:
        return server_mapping.wanted(attributes, image)
    except (Invalid, TypeError, ValueError, AttributeError):  # it is refused later
        return []


@asking_first(ask_outside)
def create(context: Request) -> Answer:
    """POST /v2.1/servers."""
    context.caller  # noqa: B018 what nobody sends is not looked at
    server_forms.creation(minor(context)).check(context.document)
    attributes = context.document["server"]
    target = own_target(context)
    context.enforce(_RULE, target)
    outside: Outside = found(context)
    if outside.missing:
        raise Invalid(outside.missing)
    _refuse_left_out(context, attributes)
    flavor = _flavor(context, str(attributes["flavorRef"]))
    image = _image(attributes, outside)
    least, most = _counts(attributes)
    mappings = server_mapping.wanted(attributes, image)
    template_id = new_id()
    devices = server_mapping.devices_of(mappings, image, flavor, template_id, context.now_us)
    if any(not each.is_local for each in devices):
        context.enforce(f"{_RULE}:attach_volume", target)
    devices = _checked(devices, flavor, image, outside, most)
    wanted = server_networks.wanted(attributes.get("networks"), outside.networks, outside.ports)
    if wanted:
        context.enforce(f"{_RULE}:attach_network", target)
    if most > 1 and any(each.get("fixed_ip") or "port" in each for each in wanted):
        raise Invalid("Unable to launch multiple instances with a single configured port ID or fixed address.")
    template = _template(context, attributes, flavor, image, devices, outside, template_id)
    group_id = _group(context, template)
    count = _allowed(context, flavor, least, most, group_id)
    made = []
    for index in range(count):
        made.append(_add(context, attributes, template, index, count, devices, wanted, outside, group_id))
    context.afterwards(context.parts.poke)
    return _answer(context, attributes, made)


def image_id_of(reference: Any) -> str | None:
    """Return the id of the image that is named, which may come as a URL; None: none is."""
    if not isinstance(reference, str) or not reference:
        return None
    return reference.rstrip("/").rpartition("/")[2]


def check_image(image: Image | None, flavor: Flavor, reference: str | None, has_local_root: bool) -> None:
    """Raise Invalid unless a server of a flavor can be made of an image."""
    if reference and image is None:
        raise Invalid("Can not find requested image")
    if image is None:
        return
    if image.status != "active":
        raise Invalid(f"Image {image.id} is not active.")
    if image.min_ram > flavor.memory_mib:
        raise Invalid("Flavor's memory is too small for requested image.")
    if not has_local_root or not flavor.disk_gb:
        return
    if image.min_disk > flavor.disk_gb:
        raise Invalid(
            f"Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is "
            f"{flavor.disk_gb * GIB} bytes, minimum size is {image.min_disk * GIB} bytes."
        )
    if max(image.virtual_size, 0) > flavor.disk_gb * GIB:
        raise Invalid(
            f"Flavor's disk is too small for requested image. Flavor disk is {flavor.disk_gb * GIB} bytes, image is "
            f"{image.virtual_size} bytes."
        )


def check_user_data(text: str | None) -> None:
    """Raise Invalid unless user data are in base64."""
    try:
        base64.b64decode("".join((text or "").split()), validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("User data needs to be valid base 64.") from None


def password_of(attributes: Mapping[str, Any]) -> str:
    """Return the password that a client is told; guests are not."""
    alphabet = string.ascii_letters + string.digits
    given = attributes.get("adminPass")
    return str(given) if given else "".join(secrets.choice(alphabet) for _each in range(_PASSWORD_SIZE))


def image_kept(image: Image | None) -> dict[str, Any]:
    """Return what is to be known of an image as long as a server is of it."""
    if image is None:
        return {}
    properties = {name: value for name, value in image.properties.items() if name != "block_device_mapping"}
    return {
        "id": image.id,
        "name": image.name,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "properties": properties,
    }


def _refuse_left_out(context: Request, attributes: Mapping[str, Any]) -> None:
    if attributes.get("personality"):
        raise Invalid("Personality files are not put into servers here: use user data.")
    if attributes.get("trusted_image_certificates"):
        raise Invalid("Trusted image certificates are not checked here.")
    check_user_data(attributes.get("user_data"))
    if attributes.get("host") or attributes.get("hypervisor_hostname"):
        context.enforce("compute:servers:create:requested_destination")
    limit = quotas.limits(context.connection, context.parts.settings.quotas, context.project_id or "")
    if 0 <= limit["metadata_items"] < len(attributes.get("metadata") or {}):
        raise OverQuota(f"Maximum number of metadata items exceeds {limit['metadata_items']}")


def _flavor(context: Request, flavor_id: str) -> Flavor:
    flavor_id = flavor_id.rstrip("/").rpartition("/")[2]
    try:
        flavor = flavors.visible(context.connection, flavor_id, context.project_id, is_admin(context))
    except NotFound as error:
        raise Invalid(str(error)) from None
    if flavor.disabled:
        raise Invalid(f"Flavor {flavor_id} is disabled.")
    return flavor


def _image(attributes: Mapping[str, Any], outside: Outside) -> Image | None:
    reference = image_id_of(attributes.get("imageRef"))
    if reference and outside.image is None:
        raise Invalid("Can not find requested image")
    return outside.image


def _counts(attributes: Mapping[str, Any]) -> tuple[int, int]:
    least = number(attributes.get("min_count", 1), "min_count", 1)
    most = number(attributes.get("max_count", least), "max_count", 1)
    if least > most:
        raise Invalid("min_count must be <= max_count")
    return least, most


def _checked(
    devices: Sequence[BlockDevice], flavor: Flavor, image: Image | None, outside: Outside, count: int
) -> list[BlockDevice]:
    """Return disks with what their sources say of them. Raise Invalid."""
    root = devices[0]
    check_image(image, flavor, None, has_local_root=root.is_local)
    done = []
    for each in devices:
        if each.source == VOLUME:
            volume = outside.volumes.get(each.volume_id or "")
            if volume is None:
                raise Invalid(f"Block Device Mapping is Invalid: failed to get volume {each.volume_id}.")
            if count > 1 and not volume.multiattach:
                raise Invalid("Cannot attach one or more volumes to multiple instances")
            check_attachable(volume)
            if each.is_root and not volume.bootable:
                raise Invalid(f"Block Device {each.volume_id} is not bootable.")
            done.append(replace(each, volume_gb=volume.size))
        elif each.source == SNAPSHOT:
            snapshot = outside.snapshots.get(each.snapshot_id or "")
            if snapshot is None:
                raise Invalid(f"Block Device Mapping is Invalid: failed to get snapshot {each.snapshot_id}.")
            done.append(replace(each, volume_gb=each.volume_gb or int(snapshot["size"])))
        elif each.source == IMAGE and not each.is_local:
            check_image(outside.images.get(each.image_id or ""), flavor, each.image_id, has_local_root=False)
            done.append(each)
        else:
            done.append(each if each.source == BLANK else replace(each, gib=flavor.disk_gb))
    return done


def check_attachable(volume: Volume) -> None:
    """Raise Invalid unless a volume is free."""
    if volume.status == _ATTACHABLE or (volume.multiattach and volume.status == "in-use"):
        return
    raise Invalid(
        f"Invalid volume: volume {volume.id} status must be available or reserved to be attached, but it is "
        f"{volume.status}."
    )


def _template(
    context: Request,
    attributes: Mapping[str, Any],
    flavor: Flavor,
    image: Image | None,
    devices: Sequence[BlockDevice],
    outside: Outside,
    server_id: str,
) -> Server:
    key = None
    if attributes.get("key_name"):
        key = key_pairs.find(context.connection, context.caller.user.id, attributes["key_name"])
        if key is None:
            raise Invalid("Invalid key_name provided.")
    name = attributes["name"].strip()
    about_volume: dict[str, Any] = {}
    if image is None and devices[0].source == VOLUME:
        volume = outside.volumes[devices[0].volume_id or ""]
        about_volume = {"properties": dict(volume.image)} if volume else {}
    group_names = [str(each["name"]) for each in attributes.get("security_groups") or () if each.get("name")]
    return Server(
        id=server_id,
        project_id=project_of(context),
        user_id=context.caller.user.id,
        name=name,
        hostname=attributes.get("hostname") or servers.hostname_of(name, server_id),
        flavor_id=flavor.id,
        flavor=moving.plain(flavor),
        vcpus=flavor.vcpus,
        memory_mib=flavor.memory_mib,
        disk_gb=flavor.disk_gb + flavor.ephemeral_gb,
        reservation_id=f"r-{''.join(secrets.choice(string.ascii_lowercase + string.digits) for _each in range(8))}",
        created_at_us=context.now_us,
        description=attributes.get("description") if at_least(context, 19) else name,
        image_id=image.id if image is not None and devices[0].is_local else None,
        image=image_kept(image) or about_volume,
        metadata=attributes.get("metadata") or {},
        key_name=key.name if key else None,
        key_data=key.public_key if key else None,
        user_data="".join(attributes["user_data"].split()) if attributes.get("user_data") else None,
        config_drive=_config_drive(attributes, image),
        disk_config=attributes.get("OS-DCF:diskConfig", "MANUAL"),
        access_ipv4=attributes.get("accessIPv4") or None,
        access_ipv6=attributes.get("accessIPv6") or None,
        security_groups=list(dict.fromkeys(group_names)) or ["default"],
        wish=_wish(context, attributes),
        root_device_name=devices[0].device_name,
    )


def _config_drive(attributes: Mapping[str, Any], image: Image | None) -> bool:
    if image is not None and image.properties.get("img_config_drive") == "mandatory":
        return True
    value = attributes.get("config_drive")
    return truth(value, "config_drive") if value not in (None, "") else False


def _wish(context: Request, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return where a server is to be."""
    wish: dict[str, Any] = {}
    hints = attributes.get("os:scheduler_hints") or next(
        (context.document[name] for name in server_forms.HINTS if name in context.document), None
    )
    if hints:
        wish["hints"] = hints
    zone, _colon, rest = str(attributes.get("availability_zone") or "").partition(":")
    host, _colon, node = rest.partition(":")
    if host or node:
        context.enforce(f"{_RULE}:forced_host")
        wish["forced_host"] = _known_host(context, host or node)
    if attributes.get("host") or attributes.get("hypervisor_hostname"):
        wish["host"] = _known_host(context, attributes.get("host") or attributes["hypervisor_hostname"])
    if zone:
        known = hosts.every(context.connection)
        default = context.parts.settings.availability_zone
        zones = aggregates.zones(context.connection, [each.name for each in known], default)
        if zone not in {*zones.values(), default}:
            raise Invalid("The requested availability zone is not available")
        wish["zone"] = zone
    return wish


def _known_host(context: Request, name: str) -> str:
    try:
        return hosts.get(context.connection, name).name
    except NotFound:
        raise Invalid(f"Compute host {name} could not be found.") from None


def _group(context: Request, template: Server) -> str | None:
    hint = template.wish.get("hints", {}).get("group")
    if not hint:
        return None
    try:
        group = server_groups.get(context.connection, str(hint))
    except NotFound as error:
        raise Invalid(str(error)) from None
    if group.project_id != context.project_id:
        raise Invalid(f"Instance group {hint} could not be found.")
    return group.id


def _allowed(context: Request, flavor: Flavor, least: int, most: int, group_id: str | None) -> int:
    """Return how many servers the project may have of those that are wanted. Raise OverQuota."""
    project_id, user_id, defaults = project_of(context), context.caller.user.id, context.parts.settings.quotas
    for count in range(most, least - 1, -1):
        added = {"instances": count, "cores": count * flavor.vcpus, "ram": count * flavor.memory_mib}
        try:
            quotas.require(context.connection, defaults, project_id, user_id, added)
            if group_id is not None:
                quotas.require_members(context.connection, defaults, project_id, user_id, group_id, count)
            return count
        except OverQuota:
            if count == least:
                raise
    raise AssertionError("the last one returns or raises")


def _add(
    context: Request,
    attributes: Mapping[str, Any],
    template: Server,
    index: int,
    count: int,
    devices: Sequence[BlockDevice],
    wanted: Sequence[Mapping[str, Any]],
    outside: Outside,
    group_id: str | None,
) -> Server:
    server = template
    if count > 1:
        server_id = template.id if index == 0 else new_id()
        name = f"{template.name}-{index + 1}"
        host_name = f"{template.hostname}-{index + 1}"
        server = replace(template, id=server_id, name=name, hostname=host_name, launch_index=index)
    servers.add(context.connection, server, attributes.get("tags") or (), group_id)
    for device in devices:
        own_id = device.id if index == 0 else new_id()
        block_devices.add(context.connection, replace(device, id=own_id, server_id=server.id))
    for card in server_networks.cards_of(wanted, server.id, outside.group_ids, context.now_us):
        if card.port_id is not None and cards.of_port(context.connection, card.port_id) is not None:
            raise Invalid(f"Port {card.port_id} is still in use.")
        cards.add(context.connection, card)
    whose = (context.project_id, context.caller.user.id)
    server_actions.note(context.connection, server.id, context.request_id, "create", whose, context.now_us)
    makes_volumes = any(not each.is_local and each.source != VOLUME for each in devices)
    sealed = context.parts.settings.seal.encrypt(outside.token.encode()).decode() if makes_volumes else ""
    journal.note(
        context.connection,
        context.now_us,
        building.NAME,
        (SUBJECT, server.id),
        server.project_id,
        context.request_id,
        **({equipment.TOKEN: sealed} if makes_volumes else {}),
    )
    return server


def _answer(context: Request, attributes: Mapping[str, Any], made: Sequence[Server]) -> Answer:
    if truth(attributes.get("return_reservation_id", False), "return_reservation_id"):
        return Answer(202, {"reservation_id": made[0].reservation_id})
    server = made[0]
    document = {
        "id": server.id,
        "links": links(context, f"servers/{server.id}"),
        "OS-DCF:diskConfig": server.disk_config,
        "security_groups": [{"name": name} for name in server.security_groups],
        "adminPass": password_of(attributes),
    }
    return Answer(202, {"server": document}, {"Location": document["links"][0]["href"]})  # type: ignore[index]
