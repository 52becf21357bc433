"""Devices as processes and as tables of the configuration: making them, asking them, taking them away.

A device is made before it is in a ring and taken away after it has left them, so whatever is interrupted
leaves a device in the configuration that no ring has: `holdfast device list` shows it as unused.
"""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from typing import Any

from cluster.config import Config, DeviceConfig, check, parse
from cluster.coordination.interface import ABSENT, Coordination
from cluster.device_tables import with_device, with_weight, without_device
from cluster.processes import storage_name
from cluster.supervision import control
from cluster.telemetry.probe import Health, health, is_free
from ring.device import Device
from tools.data_directory import Cluster
from tools.errors import OperatorError
from tools.private_file import write_private
from tools.processes import ports
from tools.readiness import await_started, await_stopped, deaths

_FIRST_HOST = IPv4Address("127.0.0.1")  # Linux has all of 127.0.0.0/8
_NEXT_ID = "device/next-id"  # in coordination: ids below it have been given


class Devices:
    """The devices of a cluster."""

    def __init__(self, cluster: Cluster, coordination: Coordination) -> None:
        self._cluster = cluster
        self._coordination = coordination

    @property
    def config(self) -> Config:
        """The configuration as it is now."""
        return self._cluster.config

    # asking

    def health(self) -> dict[int, Health | None]:
        """Return what each device says of itself; None: it does not answer."""
        config = self.config
        with ThreadPoolExecutor(max_workers=16) as pool:
            asked = {
                device.id: pool.submit(
                    health, config.storage_admin_listen(device.id), config.ports.storage_admin_port(device.id)
                )
                for device in config.devices
            }
            return {device_id: future.result() for device_id, future in asked.items()}

    def down(self) -> list[int]:
        """Return the devices that do not serve."""
        return [device_id for device_id, answer in self.health().items() if answer is None or not answer.serves]

    def live_bytes(self) -> dict[int, int]:
        """Return how much each device that answers holds."""
        answers = self.health()
        return {
            device_id: int(answer.details.get("live_bytes", 0))
            for device_id, answer in answers.items()
            if answer is not None
        }

    def running_processes(self) -> set[str]:
        """Return the processes that there are; one that hangs is."""
        return {process["name"] for process in self._ask("status", ())["processes"] if process["pid"]}

    # making

    def next_ids(self, count: int) -> range:
        """Return ids that no device of the cluster ever had. Raise OperatorError."""
        value = self._coordination.get(_NEXT_ID)
        given = int(value.data) if value is not None else 0
        first = max([given, *(device.id + 1 for device in self.config.devices)])
        return range(first, first + count)

    def check(self, devices: Sequence[DeviceConfig]) -> None:
        """Raise OperatorError or ConfigError when `devices` could not be made."""
        wanted = dataclasses.replace(self.config, devices=(*self.config.devices, *devices))
        check(wanted)
        names = {storage_name(device) for device in devices}
        for port in ports(wanted):
            if any(name in port.owner.split() for name in names) and not is_free(port.host, port.number):
                raise OperatorError(f"port {port.number}, for {port.owner}, is in use by another program: stop that")

    def make(self, devices: Sequence[DeviceConfig]) -> None:
        """Write `devices` into the configuration and start them; return when they serve, or undo it all."""
        names = [storage_name(device) for device in devices]
        for device in devices:
            self._cluster.layout.device(device).mkdir(parents=True, exist_ok=True, mode=0o700)
        self._note_ids(devices)
        for device in devices:
            self._rewrite(lambda text, each=device: with_device(text, each))  # type: ignore[misc]
        try:
            report = self._ask("add", names)
            await_started(self._cluster, names, deaths(report))
        except BaseException:
            self.take_away([device.id for device in devices], delete_data=False)
            raise

    def _note_ids(self, devices: Sequence[DeviceConfig]) -> None:
        """Record that these ids are given. Raise Conflict when somebody else has just taken some."""
        value = self._coordination.get(_NEXT_ID)
        following = max(device.id for device in devices) + 1
        if value is None or int(value.data) < following:
            self._coordination.put(_NEXT_ID, str(following).encode(), value.version if value else ABSENT)

    # changing and taking away

    def weigh(self, device_ids: Collection[int], weight: float) -> None:
        """Write another weight of devices into the configuration."""
        for device_id in device_ids:
            if device_id in self._ids():
                self._rewrite(lambda text, each=device_id: with_weight(text, each, weight))  # type: ignore[misc]

    def weigh_as(self, weights: Mapping[int, float]) -> None:
        """Write into the configuration what the rings say that devices weigh."""
        for device in self.config.devices:
            if weights.get(device.id, device.weight) != device.weight:
                self.weigh([device.id], weights[device.id])

    def take_away(self, device_ids: Collection[int], delete_data: bool) -> None:
        """Stop devices that are in no ring, take them out of the configuration, and remove their data if asked to."""
        leaving = [device for device in self.config.devices if device.id in device_ids]
        if leaving:
            self._note_ids(leaving)
        for device in leaving:
            self._rewrite(lambda text, each=device: without_device(text, each.id))  # type: ignore[misc]
        names = [storage_name(device) for device in leaving]
        if names and self._cluster.is_running():
            self._ask("remove", names)
            await_stopped(self._cluster, names)
        if delete_data:
            for device in leaving:
                directory = self._cluster.layout.device(device)
                shutil.rmtree(directory, ignore_errors=True)
                with contextlib.suppress(OSError):
                    directory.parent.rmdir()  # of the node, when this was its last device

    # parts of the above

    def _ids(self) -> set[int]:
        return {device.id for device in self.config.devices}

    def _rewrite(self, change: Callable[[str], str]) -> None:
        """Change the configuration: what an operator has written into it in the meantime stays."""
        path = self._cluster.layout.config
        text = change(path.read_text(encoding="utf-8"))
        write_private(path, text)
        self._cluster = dataclasses.replace(self._cluster, config=parse(text))

    def _ask(self, do: str, names: Sequence[str]) -> dict[str, Any]:
        try:
            return control.ask(self._cluster.layout.control_socket, do, names=list(names))
        except control.ControlError as error:
            raise OperatorError(str(error)) from error


def node_host(number: int) -> str:
    """Return the address of node `number` of a cluster on one machine: the rings tell nodes apart by it."""
    return str(_FIRST_HOST + number)


def ring_device(config: Config, device: DeviceConfig) -> Device:
    """Return the device as rings know it."""
    return Device(
        id=device.id,
        region=device.region,
        zone=device.zone,
        ip=device.host,
        port=config.wire_port(device),
        device=f"d{device.id}",
        weight=device.weight,
    )
