"""The hypervisor, asked by libvirt-python. See `interface` for what the calls are."""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import libvirt
import libvirt_qemu

from compute.agent.libvirt import strays
from compute.agent.libvirt.connection import Connection
from compute.agent.libvirt.domain import PRODUCT as _PRODUCT
from compute.agent.libvirt.interface import Activity, Domain, Versions
from compute.stored import BackendError, NoSuch, NotYet, Refused, Unreachable

_PAUSED: Mapping[int, Activity] = {
    libvirt.VIR_DOMAIN_PAUSED_IOERROR: Activity.WAITING,
    libvirt.VIR_DOMAIN_PAUSED_CRASHED: Activity.CRASHED,
}
_OFF: Mapping[int, Activity] = {
    libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN: Activity.ENDED,
    libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED: Activity.DESTROYED,
    libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: Activity.CRASHED,
    libvirt.VIR_DOMAIN_SHUTOFF_FAILED: Activity.CRASHED,
    libvirt.VIR_DOMAIN_SHUTOFF_SAVED: Activity.DESTROYED,
}
_ALIVE = (
    libvirt.VIR_DOMAIN_RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED,
    libvirt.VIR_DOMAIN_SHUTDOWN,  # it is about to be off
    libvirt.VIR_DOMAIN_PMSUSPENDED,
)
_GONE = frozenset((libvirt.VIR_ERR_NO_DOMAIN,))
_NEVER = frozenset(
    (
        libvirt.VIR_ERR_XML_ERROR,
        libvirt.VIR_ERR_XML_DETAIL,
        libvirt.VIR_ERR_XML_INVALID_SCHEMA,
        libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
        libvirt.VIR_ERR_INVALID_ARG,
        libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
        libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
        libvirt.VIR_ERR_NO_SUPPORT,
        libvirt.VIR_ERR_OPERATION_DENIED,
    )
)
# what qemu says is one code for all
_NEVER_SAID = re.compile(
    r"cannot set up guest memory|cannot allocate memory|export .* not (?:present|available)|no such export"
    r"|cannot find suitable (?:CPU|emulator)|no available slot|no more available PCI",
    re.IGNORECASE,
)
_OLDER_CONNECTION = re.compile(r"cannot grow nbd nodes|cannot grow device|connection|input/output", re.IGNORECASE)
_TAKEN = re.compile(r"duplicate (?:device id|nodes)", re.IGNORECASE)
_GOING = re.compile(r"in the process of unplug|unplug is already in progress|unplug .*pending", re.IGNORECASE)
_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)
_AGENT_AWAY = frozenset(
    (libvirt.VIR_ERR_AGENT_UNRESPONSIVE, libvirt.VIR_ERR_AGENT_UNSYNCED, libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
     libvirt.VIR_ERR_CONFIG_UNSUPPORTED, libvirt.VIR_ERR_OPERATION_UNSUPPORTED)
)  # fmt: skip
_LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE


class LibvirtHypervisor:
    """`interface.Hypervisor`."""

    def __init__(self, uri: str) -> None:
        self._changed: Callable[[str], None] = lambda _guest_id: None
        self._connection = Connection(uri, self._follow)

    def __repr__(self) -> str:
        return f"LibvirtHypervisor({self._connection})"

    def versions(self) -> Versions:
        with self._asked() as connection:
            return Versions(int(connection.getVersion()), int(connection.getLibVersion()))

    def domains(self) -> Mapping[str, Domain]:
        with self._asked() as connection:
            found = {str(domain.UUIDString()): _seen(domain) for domain in connection.listAllDomains()}
        return {guest_id: domain for guest_id, domain in found.items() if domain is not None}

    def find(self, guest_id: str) -> Domain | None:
        try:
            with self._domain(guest_id) as domain:
                return _seen(domain)
        except NoSuch:
            return None

    def define(self, xml: str) -> None:
        with self._asked() as connection:
            connection.defineXML(xml)

    def undefine(self, guest_id: str) -> None:
        try:
            with self._domain(guest_id) as domain:
                domain.undefineFlags(_UNDEFINE)
        except NoSuch:
            return

    def start(self, guest_id: str, paused: bool) -> None:
        with self._domain(guest_id) as domain:
            domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED if paused else 0)

    def destroy(self, guest_id: str) -> None:
        found = self.find(guest_id)
        if found is None or not (found.activity.is_alive or found.is_broken):
            return
        try:
            with self._domain(guest_id) as domain:
                domain.destroy()
        except BackendError as error:
            found = self.find(guest_id)
            if found is not None and (found.activity.is_alive or found.is_broken):
                raise Unreachable(f"guest {guest_id} could not be turned off: {error}") from error

    def shutdown(self, guest_id: str) -> None:
        with self._domain(guest_id) as domain:
            domain.shutdown()

    def pause(self, guest_id: str) -> None:
        with self._domain(guest_id) as domain:
            domain.suspend()

    def resume(self, guest_id: str) -> None:
        with self._domain(guest_id) as domain:
            domain.resume()

    def save(self, guest_id: str) -> None:
        with self._domain(guest_id) as domain:
            domain.managedSave(0)

    def discard_saved(self, guest_id: str) -> None:
        with self._domain(guest_id) as domain:
            if domain.hasManagedSaveImage():
                domain.managedSaveRemove()

    def description(self, guest_id: str) -> str:
        with self._domain(guest_id) as domain:
            return str(domain.XMLDesc())

    def attach(self, guest_id: str, xml: str) -> None:
        with self._domain(guest_id) as domain:
            try:
                domain.attachDeviceFlags(xml, _LIVE)
                return
            except libvirt.libvirtError as error:
                if not _TAKEN.search(str(error)):
                    raise
            strays.clear(domain)
        raise NotYet("the guest had a disk that libvirt did not know of: it is taken from it first")

    def detach(self, guest_id: str, xml: str) -> None:
        with self._domain(guest_id) as domain:
            try:
                domain.detachDeviceFlags(xml, _LIVE)
            except libvirt.libvirtError as error:
                if error.get_error_code() == libvirt.VIR_ERR_DEVICE_MISSING or _GOING.search(str(error)):
                    return
                raise

    def resize(self, guest_id: str, target: str, size: int) -> None:
        with self._domain(guest_id) as domain:
            try:
                domain.blockResize(target, size, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
                return
            except libvirt.libvirtError as error:
                if not _OLDER_CONNECTION.search(str(error)):
                    raise
                why = str(error)
            _read_something(domain, target)
        raise NotYet(f"the guest's connection to the volume is older than its size: {why}")

    def update(self, guest_id: str, xml: str) -> None:
        with self._domain(guest_id) as domain:
            domain.updateDeviceFlags(xml, _LIVE)

    def statistics(self, guest_id: str) -> Mapping[str, Any]:
        with self._domain(guest_id) as domain:
            found = domain.connect().domainListGetStats([domain])
            return dict(found[0][1]) if found else {}

    def freeze(self, guest_id: str) -> bool:
        return self._asked_inside(guest_id, lambda domain: domain.fsFreeze())

    def thaw(self, guest_id: str) -> bool:
        return self._asked_inside(guest_id, lambda domain: domain.fsThaw())

    def set_password(self, guest_id: str, user: str, password: str) -> bool:
        return self._asked_inside(guest_id, lambda domain: domain.setUserPassword(user, password))

    def watch(self, changed: Callable[[str], None]) -> None:
        self._changed = changed

    def close(self) -> None:
        """Leave the connection to the end of the process: closing one does not wait for calls under way."""

    def _asked_inside(self, guest_id: str, ask: Callable[[Any], object]) -> bool:
        with self._domain(guest_id) as domain:
            try:
                ask(domain)
            except libvirt.libvirtError as error:
                if error.get_error_code() in _AGENT_AWAY:
                    return False
                raise
        return True

    @contextmanager
    def _asked(self) -> Iterator[Any]:
        connection = self._connection.get()
        try:
            yield connection
        except libvirt.libvirtError as error:
            if not _is_alive(connection):
                self._connection.lost(connection)
                raise Unreachable(f"the hypervisor does not answer: {error}") from None
            raise _failure(error) from None

    @contextmanager
    def _domain(self, guest_id: str) -> Iterator[Any]:
        with self._asked() as connection:
            yield connection.lookupByUUIDString(guest_id)

    def _follow(self, connection: Any) -> None:
        """Have all that becomes of guests be told."""

        def told(_connection: Any, domain: Any, *_about: Any) -> None:
            self._changed(str(domain.UUIDString()))

        for event in (
            libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
            libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON,
            libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
            libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
            libvirt.VIR_DOMAIN_EVENT_ID_REBOOT,
        ):
            connection.domainEventRegisterAny(None, event, told, None)
        self._changed("")
        threading.Thread(target=_clear_strays, args=(connection,), name="strays", daemon=True).start()


def _clear_strays(connection: Any) -> None:
    """Clear away what was left when the libvirt before ended. What hangs is no matter of the others."""
    for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        with suppress(libvirt.libvirtError):
            if _PRODUCT in domain.XMLDesc():  # it is one of ours
                strays.clear(domain)


def _seen(domain: Any) -> Domain | None:
    """Return what a domain does; None: it went away meanwhile."""
    try:
        state, reason = domain.state()
        run = max(0, int(domain.ID()))
        saved = bool(domain.hasManagedSaveImage())
    except libvirt.libvirtError as error:
        if error.get_error_code() in _GONE:
            return None
        raise
    if state in _ALIVE:
        return Domain(Activity.RUNNING, run, saved)
    if state == libvirt.VIR_DOMAIN_PAUSED:
        activity = _PAUSED.get(reason, Activity.PAUSED)
        return Domain(activity, run, saved, is_broken=activity is Activity.CRASHED)
    if state == libvirt.VIR_DOMAIN_CRASHED:
        return Domain(Activity.CRASHED, run, saved, is_broken=run > 0)
    return Domain(_OFF.get(reason, Activity.UNKNOWN), 0, saved)


def _read_something(domain: Any, target: str) -> None:
    """Have qemu read of a disk, which is when it connects anew. What it reads, or that it cannot, does not matter."""
    node = re.search(rf"<target dev='{re.escape(target)}'[^>]*>.*?<alias name='([^']+)'", domain.XMLDesc(), re.DOTALL)
    if node is not None:
        command = f'qemu-io -d {_qdev(node[1])} "read 0 512"'
        libvirt_qemu.qemuMonitorCommand(domain, command, libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)


def _qdev(alias: str) -> str:
    """Return the name in qemu of what a disk's blocks are read by: virtio's is a device within the device."""
    return f"/machine/peripheral/{alias}/virtio-backend" if alias.startswith("virtio-disk") else alias


def _is_alive(connection: Any) -> bool:
    try:
        return bool(connection.isAlive())
    except libvirt.libvirtError:
        return False


def _failure(error: Any) -> Exception:
    """Return what an error of libvirt's means."""
    code, text = error.get_error_code(), str(error)
    if code in _GONE:
        return NoSuch(text)
    if code in _NEVER or _NEVER_SAID.search(text):
        return Refused(text)
    return Unreachable(text)
