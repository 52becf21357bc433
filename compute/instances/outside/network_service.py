"""`interfaces.Network` by the network service of the cluster: Neutron's public API."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from compute.asking import Asked, ServiceLogin, document_of, safe
from compute.instances.interfaces import Port
from compute.stored import NoSuch

OWNER = "compute:"  # what the device owner of a server's port begins with; the zone follows
_PER_QUERY = 50  # ids in a URL


class NetworkService:
    """See `interfaces.Network`."""

    def __init__(self, url: str, login: ServiceLogin) -> None:
        """`url`: of the network service, without the version."""
        self._service = Asked("the network service", f"{url.rstrip('/')}/v2.0", login)

    def __repr__(self) -> str:
        return f"NetworkService({self._service})"

    def networks(self, token: str) -> Sequence[Mapping[str, Any]]:
        """See Network."""
        return self._listed("networks", token=token)

    def security_groups(self, names: Sequence[str], token: str) -> Sequence[str]:
        """See Network."""
        if not names:
            return ()
        known = self._listed("security-groups", "security_groups", token=token)
        found = []
        for name in names:
            ids = [str(each["id"]) for each in known if name in (each["id"], each["name"])]
            if len(ids) != 1:
                how = "is not unique" if ids else "could not be found"
                raise NoSuch(f"Security group {name} {how}.")
            found.append(ids[0])
        return found

    def group_names(self, group_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the documents of security groups, by id."""
        found: dict[str, Mapping[str, Any]] = {}
        for start in range(0, len(group_ids), _PER_QUERY):
            query = [("id", each) for each in group_ids[start : start + _PER_QUERY]]
            found |= {each["id"]: each for each in self._listed("security-groups", "security_groups", query)}
        return found

    def show_port(self, port_id: str, token: str = "") -> Port | None:
        """See Network."""
        answer = self._service.ask("GET", f"/ports/{safe(port_id)}", expected=(200, 400, 403, 404), token=token)
        if answer.status != 200:
            return None
        return self._ports([document_of(answer)["port"]])[0]

    def ports_of(self, server_ids: Sequence[str]) -> Mapping[str, Sequence[Port]]:
        """See Network."""
        found: dict[str, list[Port]] = {each: [] for each in server_ids}
        for start in range(0, len(server_ids), _PER_QUERY):
            query = [("device_id", each) for each in server_ids[start : start + _PER_QUERY]]
            for port in self._ports(self._listed("ports", query=query)):
                found.setdefault(port.device_id, []).append(port)
        return found

    def create_port(self, document: Mapping[str, Any], token: str = "") -> Port:
        """See Network."""
        query = [("device_id", str(document["device_id"])), ("name", str(document["name"]))]
        known = self._listed("ports", query=query)
        if not known:
            answer = self._service.ask("POST", "/ports", {"port": dict(document)}, expected=(201,), token=token)
            known = [document_of(answer)["port"]]
        return self._ports(known[:1])[0]

    def bind(self, port_id: str, server_id: str, host: str, zone: str) -> Port:
        """See Network."""
        wanted = {"device_id": server_id, "device_owner": f"{OWNER}{zone}", "binding:host_id": host}
        path = f"/ports/{safe(port_id)}"
        answer = self._service.ask("PUT", path, {"port": wanted}, expected=(200, 404))
        if answer.status == 404:
            raise NoSuch(f"Port {port_id} could not be found.")
        return self._ports([document_of(answer)["port"]])[0]

    def set_groups(self, port_id: str, group_ids: Sequence[str]) -> Port:
        """Have a port be filtered by these security groups."""
        wanted = {"port": {"security_groups": list(group_ids)}}
        answer = self._service.ask("PUT", f"/ports/{safe(port_id)}", wanted, expected=(200,))
        return self._ports([document_of(answer)["port"]])[0]

    def release(self, port_id: str) -> None:
        """See Network."""
        wanted = {"port": {"device_id": "", "device_owner": "", "binding:host_id": ""}}
        self._service.ask("PUT", f"/ports/{safe(port_id)}", wanted, expected=(200, 404))

    def delete_port(self, port_id: str) -> None:
        """See Network."""
        self._service.ask("DELETE", f"/ports/{safe(port_id)}", expected=(204, 404))

    def network_data(self, ports: Sequence[Port]) -> Mapping[str, Any]:
        """See Network."""
        ids = sorted({subnet for port in ports for _address, subnet in port.fixed_ips})
        known: dict[str, Any] = {}
        if ids:
            known = {each["id"]: each for each in self._listed("subnets", query=[("id", each) for each in ids])}
        return network_data(ports, known)

    def _listed(
        self, what: str, name: str = "", query: Sequence[tuple[str, str]] = (), token: str = ""
    ) -> list[dict[str, Any]]:
        path = f"/{what}?{urlencode(query)}" if query else f"/{what}"
        # 404: the network service has no such thing at all, such as addresses that float
        answer = self._service.ask("GET", path, expected=(200, 404), token=token)
        return list(document_of(answer)[name or what]) if answer.status == 200 else []

    def _ports(self, told: Sequence[Mapping[str, Any]]) -> list[Port]:
        """Return ports with what their networks and floating addresses tell."""
        if not told:
            return []
        network_ids = sorted({str(each["network_id"]) for each in told})
        networks = {each["id"]: each for each in self._listed("networks", query=[("id", id_) for id_ in network_ids])}
        floating: dict[str, list[str]] = {}
        for start in range(0, len(told), _PER_QUERY):
            query = [("port_id", str(each["id"])) for each in told[start : start + _PER_QUERY]]
            for each in self._listed("floatingips", query=query):
                pair = f"{each['floating_ip_address']} {each['fixed_ip_address']}"
                floating.setdefault(each["port_id"], []).append(pair)
        return [_port(each, networks.get(each["network_id"], {}), tuple(floating.get(each["id"], ()))) for each in told]


def _port(told: Mapping[str, Any], network: Mapping[str, Any], floating: tuple[str, ...]) -> Port:
    return Port(
        id=str(told["id"]),
        network_id=str(told["network_id"]),
        network_name=str(network.get("name") or told["network_id"]),
        mac=str(told["mac_address"]),
        fixed_ips=tuple((str(each["ip_address"]), str(each["subnet_id"])) for each in told.get("fixed_ips") or ()),
        security_groups=tuple(map(str, told.get("security_groups") or ())),
        device_id=str(told.get("device_id") or ""),
        mtu=int(network.get("mtu") or 1500),
        tenant_id=str(told.get("project_id") or told.get("tenant_id") or ""),
        floating=floating,
    )


def network_data(ports: Sequence[Port], subnets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return network_data.json of ports, whose subnets are known by their ids. Pure.

    Source: OpenStack's network metadata schema; cloud-init reads it.
    """
    links, networks, servers = list[dict[str, Any]](), list[dict[str, Any]](), list[str]()
    for port in ports:
        link = f"tap{port.id[:11]}"
        links.append(
            {"id": link, "vif_id": port.id, "type": "bridge", "mtu": port.mtu, "ethernet_mac_address": port.mac}
        )
        for address, subnet_id in port.fixed_ips:
            subnet = subnets.get(subnet_id, {})
            version = 6 if ":" in address else 4
            told: dict[str, Any] = {"id": f"network{len(networks)}", "link": link, "network_id": port.network_id}
            if subnet.get("enable_dhcp", True) and version == 4:
                told["type"] = "ipv4_dhcp"
            else:
                prefix = str(subnet.get("cidr") or "/64").rpartition("/")[2]
                told |= {"type": f"ipv{version}", "ip_address": address, "netmask": _netmask(version, int(prefix))}
                told["routes"] = _routes(subnet, version)
                told["services"] = [{"type": "dns", "address": each} for each in subnet.get("dns_nameservers") or ()]
            servers += [each for each in subnet.get("dns_nameservers") or () if each not in servers]
            networks.append(told)
    return {"links": links, "networks": networks, "services": [{"type": "dns", "address": each} for each in servers]}


def _netmask(version: int, prefix: int) -> str:
    if version == 4:
        bits = (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF
        return ".".join(str(bits >> shift & 255) for shift in (24, 16, 8, 0))
    bits = ((1 << 128) - 1) ^ ((1 << (128 - prefix)) - 1)
    return ":".join(f"{bits >> shift & 0xFFFF:x}" for shift in range(112, -16, -16))


def _routes(subnet: Mapping[str, Any], version: int) -> list[dict[str, str]]:
    found = []
    if subnet.get("gateway_ip"):
        anywhere = ("0.0.0.0", "0.0.0.0") if version == 4 else ("::", "::")  # noqa: S104 a route, no address to bind
        found.append({"network": anywhere[0], "netmask": anywhere[1], "gateway": str(subnet["gateway_ip"])})
    return found
