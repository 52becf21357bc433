"""os-interface: ports of a server that come and go; ips: its addresses; os-security-groups: what filters them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.instances import cards, servers
from compute.instances.api import server_documents, server_networks
from compute.instances.api.forms import Form
from compute.instances.api.parts import Parts
from compute.instances.api.requests import Request, at_least
from compute.instances.api.server_access import RULE, asking, note, server_for, settle, unlocked_for
from compute.instances.api.server_asking import named, permitted
from compute.instances.api.server_forms import TAG, UUID
from compute.instances.cards import Card
from compute.instances.errors import Conflict, Invalid, NotFound
from compute.instances.interfaces import Port
from compute.instances.servers import Server
from compute.instances.statuses import VmState
from compute.microversions import asking_first, found
from compute.stored import NoSuch

_STATES = (VmState.ACTIVE, VmState.PAUSED, VmState.STOPPED)
_FIXED = {
    "type": "array",
    "minItems": 1,
    "maxItems": 1,
    "items": {"type": "object", "properties": {"ip_address": {"type": "string"}}, "required": ["ip_address"]},
}
_PROPERTIES = {"net_id": UUID, "port_id": UUID, "fixed_ips": _FIXED, "tag": TAG}
_CREATION = Form("interfaceAttachment", _PROPERTIES)
_GROUP = Form("", {"name": {"type": "string", "minLength": 1, "maxLength": 255}}, required=("name",))
_RULE = f"{RULE}os-attach-interfaces:"


@dataclass(frozen=True, slots=True)
class Outside:
    """What the network service knows of what a request names."""

    networks: Sequence[Mapping[str, Any]] = ()
    ports: Mapping[str, Port | None] = field(default_factory=dict)


def list_all(context: Request, server_id: str) -> Answer:
    """GET …/os-interface."""
    server = server_for(context, f"{_RULE}list", server_id)
    return ok({"interfaceAttachments": [_document(context, each) for each in _cards(context, server)]})


def show(context: Request, server_id: str, port_id: str) -> Answer:
    """GET …/os-interface/{port_id}."""
    server = server_for(context, f"{_RULE}show", server_id)
    return ok({"interfaceAttachment": _document(context, _get(context, server, port_id))})


def _ask_network(parts: Parts, token: str, document: Mapping[str, Any]) -> Outside:
    about = named(document, "interfaceAttachment")
    port_id = about.get("port_id") if about else None
    with asking():
        if isinstance(port_id, str):
            return Outside(ports={port_id: parts.network.show_port(port_id, token)})
        return Outside(networks=parts.network.networks(token))


@asking_first(_ask_network)
def create(context: Request, server_id: str) -> Answer:
    """POST …/os-interface: plug in a port."""
    attributes = _CREATION.read(context) if context.document.get("interfaceAttachment") else {}
    server = unlocked_for(context, f"{_RULE}create", server_id)
    servers.require(server, "attach_interface", _STATES, ())
    if attributes.get("net_id") and attributes.get("port_id"):
        raise Invalid("Must not input both network_id and port_id")
    if attributes.get("fixed_ips") and not attributes.get("net_id"):
        raise Invalid("Must input network_id when request IP address")
    outside: Outside = found(context)
    wish = _wish(attributes)
    all_wanted = server_networks.wanted(wish, outside.networks, outside.ports)
    if not all_wanted:
        raise Invalid("No network that could be attached was found.")
    if attributes.get("port_id") and cards.of_port(context.connection, attributes["port_id"]) is not None:
        raise Conflict(f"Port {attributes['port_id']} is still in use.")
    place = max((each.place for each in cards.of_server(context.connection, server.id)), default=-1) + 1
    (card,) = server_networks.cards_of(all_wanted, server.id, (), context.now_us, place)
    cards.add(context.connection, card)
    note(context, server, "attach_interface")
    document = _document(context, card)
    settle(context, server, at_once=True)
    context.afterwards(lambda: _fill(context, document, card.id))  # clients want to know the port
    return ok({"interfaceAttachment": document})


def _fill(context: Request, document: dict[str, Any], card_id: str) -> None:
    """Put what has become of a card into the document that is about to be sent."""
    with context.parts.database.reading() as connection:
        made = cards.find(connection, card_id)
    if made is not None:
        document.update(_document(context, made))


def remove(context: Request, server_id: str, port_id: str) -> Answer:
    """DELETE …/os-interface/{port_id}: unplug a port."""
    server = unlocked_for(context, f"{_RULE}delete", server_id)
    card = _get(context, server, port_id)
    servers.require(server, "detach_interface", _STATES, ())
    if card.state != cards.UNWANTED:
        cards.change(context.connection, card.id, state=cards.UNWANTED)
        note(context, server, "detach_interface")
    settle(context, server)
    return Answer(202)


def list_addresses(context: Request, server_id: str) -> Answer:
    """GET …/ips."""
    server = server_for(context, f"{RULE}ips:index", server_id)
    return ok({"addresses": _plain(server_documents.addresses_of(_cards(context, server)))})


def show_addresses(context: Request, server_id: str, label: str) -> Answer:
    """GET …/ips/{label}: those of a network."""
    server = server_for(context, f"{RULE}ips:show", server_id)
    addresses = _plain(server_documents.addresses_of(_cards(context, server)))
    if label not in addresses:
        raise NotFound("Network", label)
    return ok({label: addresses[label]})


# security groups


def _ask_groups(parts: Parts, token: str, _document: Any, server_id: str) -> list[Mapping[str, Any]]:
    server = permitted(parts, token, server_id, f"{RULE}os-security-groups:list")
    if server is None:
        return []
    with parts.database.reading() as connection:
        ids = {
            each for card in cards.of_server(connection, server.id) if card.port for each in card.port.security_groups
        }
    with asking():
        return list(parts.network.group_names(sorted(ids)).values())


@asking_first(_ask_groups, of_path=True)
def list_groups(context: Request, server_id: str) -> Answer:
    """GET …/os-security-groups."""
    server_for(context, f"{RULE}os-security-groups:list", server_id)
    return ok(
        {
            "security_groups": [
                {
                    "id": each["id"],
                    "name": each["name"],
                    "description": each.get("description", ""),
                    "tenant_id": each.get("project_id") or each.get("tenant_id"),
                    "rules": [],
                }
                for each in found(context)
            ]
        }
    )


def change_groups(parts: Parts, token: str, document: Mapping[str, Any], server_id: str) -> str | None:
    """Add a security group to a server's ports, or take it away: before the transaction, which only notes the name."""
    name = "addSecurityGroup" if "addSecurityGroup" in document else "removeSecurityGroup"
    about = named(document, name)
    rule = f"{RULE}os-security-groups:{'add' if name.startswith('add') else 'remove'}"
    server = permitted(parts, token, server_id, rule)
    if about is None or server is None or not isinstance(about.get("name"), str):
        return None
    with parts.database.reading() as connection:
        its = [card for card in cards.of_server(connection, server.id) if card.port_id]
    with asking():
        try:
            (group_id,) = parts.network.security_groups([about["name"]], token)
        except NoSuch as error:
            raise NotFound("Security group", about["name"]) from error
        for card in its:
            port = parts.network.show_port(str(card.port_id))
            if port is None:
                continue
            left = [each for each in port.security_groups if each != group_id]
            parts.network.set_groups(port.id, [*left, group_id] if name.startswith("add") else left)
    return group_id


def add_group(context: Request, server_id: str, about: Any) -> Answer:
    """Have a server's ports be filtered by one more security group."""
    name = _GROUP.check(about)["name"]
    server = unlocked_for(context, f"{RULE}os-security-groups:add", server_id)
    groups = list(dict.fromkeys([*server.security_groups, name]))
    servers.change(context.connection, server.id, context.now_us, security_groups=groups)
    return Answer(202)


def remove_group(context: Request, server_id: str, about: Any) -> Answer:
    """Have a server's ports be filtered by one less."""
    name = _GROUP.check(about)["name"]
    server = unlocked_for(context, f"{RULE}os-security-groups:remove", server_id)
    if name not in server.security_groups:
        raise NotFound(f"Security group {name} of instance", server.id)
    groups = [each for each in server.security_groups if each != name]
    servers.change(context.connection, server.id, context.now_us, security_groups=groups)
    return Answer(202)


def _cards(context: Request, server: Server) -> list[Card]:
    return [each for each in cards.of_server(context.connection, server.id) if each.port_id]


def _get(context: Request, server: Server, port_id: str) -> Card:
    card = next((each for each in _cards(context, server) if each.port_id == port_id), None)
    if card is None:
        raise NotFound(f"Port of instance {server.id}:", port_id)
    return card


def _wish(attributes: Mapping[str, Any]) -> Any:
    if attributes.get("port_id"):
        return [{"port": attributes["port_id"], "tag": attributes.get("tag")}]
    if attributes.get("net_id"):
        fixed = attributes.get("fixed_ips") or [{}]
        return [{"uuid": attributes["net_id"], "fixed_ip": fixed[0].get("ip_address"), "tag": attributes.get("tag")}]
    return server_networks.AUTO


def _document(context: Request, card: Card) -> dict[str, Any]:
    port = card.port
    document: dict[str, Any] = {
        "net_id": card.network_id,
        "port_id": card.port_id,
        "mac_addr": port.mac if port else None,
        "port_state": "ACTIVE" if card.state == cards.ATTACHED else "DOWN",
        "fixed_ips": [{"subnet_id": subnet, "ip_address": address} for address, subnet in port.fixed_ips]
        if port
        else [],
    }
    if at_least(context, 70):
        document["tag"] = card.tag
    return document


def _plain(addresses: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    return {
        network: [{"version": each["version"], "addr": each["addr"]} for each in its]
        for network, its in addresses.items()
    }
