"""Bridges: what cards are plugged into where the agent is root.

All is brought about from what the network service wants (`Source`), again and again: at a change, at a plug, and every
few seconds, so that what somebody took away comes back. Nothing of it is in the way of guests: they go on while the
agent, or the service, does not run.
"""

import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cluster.controlplane.chores import Chore
from cluster.telemetry.log import get_logger
from compute.agent.guest import Nic
from compute.agent.wiring import dhcp, filters, host, links, routing, tunnels
from compute.agent.wiring.interface import BRIDGE, Plug
from compute.agent.wiring.names import Names
from compute.agent.wiring.routing import Routing
from compute.agent.wiring.source import Reporter, Source
from compute.agent.wiring.wanted import Endpoint, Network, Port, Wanted
from compute.stored import BackendError, Refused, Unreachable

_PLUG_S = 10.0  # for the service to tell of a port that is about to be used
_LOOK_S = 0.1
_KEEP_S, _REPORT_S, _FOLLOW_S = 10.0, 0.5, 0.05

LOOPBACK = Endpoint("127.0.0.1", tunnels.FIRST_PORT)

_log = get_logger("wiring")


class Bridges:
    """See `interface.Wiring`."""

    mode = BRIDGE

    def __init__(
        self,
        names: Names,
        source: Source,
        reporter: Reporter,
        directory: Path,
        endpoint: Endpoint = LOOPBACK,
        allowed: Sequence[str] = (),
    ) -> None:
        """`directory`: for dnsmasq's files, which whoever it runs as must be able to read; `endpoint`: of tunnels.

        `allowed`: see `routing`.
        """
        self._names, self._source, self._reporter, self._directory = names, source, reporter, directory
        self._endpoint = endpoint
        self._routing = Routing(names, allowed)
        self._lock = threading.Lock()  # of what is done to the host
        self._ruleset, self._listing = "", ""  # that were loaded, and as nftables has them
        self._options: dict[str, bool] = {}  # which of them dnsmasq understands
        self._troubles: dict[str, str] = {}  # by network, or router, and "" for all

    def __repr__(self) -> str:
        return f"Bridges({self._names.mark}, {len(self._source.current.networks)} networks)"

    @property
    def warnings(self) -> Sequence[str]:
        """See `interface.Wiring`."""
        routers = self._source.current.routers
        found = [
            f"{'router' if place in routers else 'network'} {place}: {why}" if place else why
            for place, why in self._troubles.items()
        ]
        if self._source.is_away:
            found.append("the network service does not answer; what it said last goes on")
        return found

    def plug(self, guest_id: str, nic: Nic) -> Plug:
        """See `interface.Wiring`."""
        until_s = time.monotonic() + _PLUG_S
        while (network := self._network_of(nic)) is None:
            if not self._source.refresh():
                if time.monotonic() > until_s:
                    raise Unreachable(f"the network service does not know port {nic.port_id} as one of this host")
                time.sleep(_LOOK_S)
        self.bring()
        for place in (nic.network_id, ""):
            if place in self._troubles:
                raise Unreachable(self._troubles[place])
        return Plug(BRIDGE, self._names.bridge(nic.network_id), self._names.tap(nic.port_id), network.mtu)

    def unplug(self, guest_id: str, nic: Nic) -> None:
        """See `interface.Wiring`: the tap went with the domain, and all else goes when the port does."""

    def chores(self) -> tuple[Chore, ...]:
        """See `interface.Wiring`."""
        return (
            Chore("wiring-follow", _FOLLOW_S, self._follow),
            Chore("wiring", _KEEP_S, self.bring),
            Chore("wiring-report", _REPORT_S, self._report),
        )

    def namespaces(self) -> Mapping[str, str]:
        """See `interface.Wiring`."""
        networks = self._source.current.networks.values()
        return {
            each.id: self._names.namespace(each.id)
            for each in networks
            if each.dhcp_mac and each.id not in self._troubles
        }

    def close(self) -> None:
        """See `interface.Wiring`."""

    def bring(self) -> None:
        """Have the host be as the service wants it."""
        with self._lock:
            wanted, troubles = self._source.current, dict[str, str]()
            seen = host.seen(self._names)
            for network in wanted.networks.values():
                try:
                    self._bring_links(network, seen)
                except BackendError as error:
                    troubles[network.id] = str(error)
            try:
                for command in links.leftovers(self._names, wanted.networks, seen):
                    self._forget(command)
                self._bring_filters(wanted)
            except BackendError as error:
                troubles[""] = str(error)
            self._bring_dhcp(wanted, troubles)
            try:
                troubles |= self._routing.bring(wanted)
            except (BackendError, OSError) as error:
                troubles |= dict.fromkeys(wanted.routers, str(error))
            self._tell(troubles)

    def remove_all(self) -> None:
        """Take away all that this agent has made on the host; guests lose their networks."""
        with self._lock:
            remove_all(self._names, self._directory)
            self._ruleset = self._listing = ""

    def _network_of(self, nic: Nic) -> Network | None:
        """Return the network of a card; None: the service has not told of it."""
        wanted = self._source.current
        return wanted.networks.get(nic.network_id) if nic.port_id in wanted.ports else None

    def _follow(self) -> None:
        if self._source.follow():
            self.bring()

    def _report(self) -> None:
        wanted, there = self._source.current, host.links(self._names)
        up = [
            port.id
            for port in wanted.ports.values()
            if port.is_up and self._is_there(port, there) and "" not in self._troubles
        ]
        self._reporter.tell(up)

    def _is_there(self, port: Port, there: Mapping[str, links.Link]) -> bool:
        tap = there.get(self._names.tap(port.id))
        return tap is not None and tap.is_up and tap.master == self._names.bridge(port.network_id)

    def _bring_links(self, network: Network, seen: links.Seen) -> None:
        commands = list(links.commands(self._names, network, seen, self._endpoint))
        for command in commands:
            host.ip(command)
        if commands:
            for name_of in (self._names.bridge, self._names.cable, self._names.tunnel):
                host.without_ipv6(name_of(network.id))
        host.change_entries(list(tunnels.changes(self._names, network, seen.tunnels, self._endpoint)))

    def _forget(self, command: links.Command) -> None:
        if command[:2] == ("netns", "del"):
            network_id = command[2].partition("-")[2]
            host.stop_dhcp(self._directory / network_id)
        host.ip(command)

    def _bring_filters(self, wanted: Wanted) -> None:
        ruleset = filters.ruleset(self._names, wanted)
        if ruleset == self._ruleset and self._listing and host.loaded(self._names) == self._listing:
            return
        if ruleset == self._ruleset and self._listing:
            _log.warning("filters_were_changed", table=self._names.mark, doing="they are loaded anew")
        if not host.bring_filter():
            raise Refused("the kernel has no br_netfilter: modprobe br_netfilter")
        host.load(ruleset)
        self._ruleset, self._listing = ruleset, host.loaded(self._names)

    def _bring_dhcp(self, wanted: Wanted, troubles: dict[str, str]) -> None:
        resolvers = host.resolvers()
        served = {each.id: each for each in wanted.networks.values() if each.dhcp_mac and each.id not in troubles}
        for network in served.values():
            directory = self._directory / network.id
            ports = [self._understood(port) for port in wanted.ports_of(network.id)]
            try:
                files = dhcp.files(network, ports, directory, resolvers)
                host.serve_dhcp(self._names.namespace(network.id), directory, files)
            except (BackendError, OSError) as error:
                troubles[network.id] = str(error)
        for directory in self._directory.iterdir() if self._directory.is_dir() else ():
            if directory.name not in wanted.networks or not wanted.networks[directory.name].dhcp_mac:
                host.stop_dhcp(directory)

    def _understood(self, port: Port) -> Port:
        """Return a port without options that dnsmasq does not understand: one of them would end it for all."""
        kept = []
        for version, name, value in port.options:
            argument = dhcp.option_argument(version, name, value)
            if argument not in self._options:
                self._options[argument] = host.takes_option(argument)
                if not self._options[argument]:
                    _log.warning("option_left_out", port=port.id, option=argument)
            if self._options[argument]:
                kept.append((version, name, value))
        return replace(port, options=tuple(kept))

    def _tell(self, troubles: Mapping[str, str]) -> None:
        for place, why in troubles.items():
            if self._troubles.get(place) != why:
                _log.error("wiring_failed", place=place, error=why, doing="it is tried again")
        self._troubles = dict(troubles)


def remove_all(names: Names, directory: Path) -> None:
    """Take away all that an agent has made on the host; `directory`: of dnsmasq's files."""
    for each in directory.iterdir() if directory.is_dir() else ():
        host.stop_dhcp(each)
    routing.remove_all(names)
    seen = host.seen(names)
    bare = links.Seen({name: links.Link(0, False) for name in seen.links}, seen.namespaces)  # also those with cards
    for command in links.leftovers(names, {}, bare):
        host.ip(command)
    host.load(filters.removal(names))
    shutil.rmtree(directory, ignore_errors=True)
