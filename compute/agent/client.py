"""A host that is asked over HTTP: `interface.Host` at the compute service's side. `agent.api` answers.

    hosts = ClusterHosts(addresses, ServiceLogin(identity_url, user.name, user.password))
    hosts.get("node-1").define(guest, running=True)
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from compute.agent.displays import Kind
from compute.agent.guest import Disk, Guest, GuestState, HostState, Nic, Told, document_of, value_of
from compute.agent.interface import Display, Host, Seen
from compute.asking import Asked, ServiceLogin, safe
from compute.asking import document_of as document_of_answer
from compute.stored import BackendError, InUse, NoSuch, NotYet, Refused, Unreachable

CALL_S = 90.0  # for a call: what the hypervisor takes, behind calls about the same guest
_MARGIN_S = 15.0  # for the answer to one that waits
_ERRORS: Mapping[str, type[BackendError]] = {
    each.__name__: each for each in (Unreachable, NotYet, Refused, NoSuch, InUse)
}
_EXPECTED = (200, 204, 403, 404, 409, 422, 503)


class HostClient:
    """`interface.Host`, over HTTP."""

    def __init__(self, name: str, url: str, login: ServiceLogin) -> None:
        self._name = name
        self._address = urlsplit(url).hostname or ""
        self._service = Asked(f"the agent of {name}", f"{url.rstrip('/')}/v1", login)

    def __repr__(self) -> str:
        return f"HostClient({self._name})"

    def state(self) -> HostState:
        return value_of(HostState, self._asked("GET", "/host"))

    def seen(self, tag: str = "", wait_s: float = 0.0) -> Seen:
        query = urlencode({"tag": tag, "wait_s": wait_s})
        found = self._asked("GET", f"/guests?{query}", timeout_s=wait_s + _MARGIN_S)
        return Seen(str(found["tag"]), tuple(value_of(GuestState, each) for each in found["guests"]))

    def find(self, guest_id: str) -> GuestState | None:
        found = self._asked("GET", f"/guests/{safe(guest_id)}")["guest"]
        return None if found is None else value_of(GuestState, found)

    def define(self, guest: Guest, running: bool) -> GuestState:
        sent = {"guest": document_of(guest), "running": running}
        return value_of(GuestState, self._asked("PUT", f"/guests/{safe(guest.id)}", sent))

    def start(self, guest_id: str) -> GuestState:
        return self._guest(guest_id, "start")

    def stop(self, guest_id: str, soft_s: float) -> GuestState:
        return self._guest(guest_id, "stop", soft_s=soft_s)

    def reboot(self, guest_id: str, request_id: str, soft_s: float) -> GuestState:
        return self._guest(guest_id, "reboot", request_id=request_id, soft_s=soft_s)

    def pause(self, guest_id: str) -> GuestState:
        return self._guest(guest_id, "pause")

    def suspend(self, guest_id: str) -> GuestState:
        return self._guest(guest_id, "suspend")

    def remove(self, guest_id: str) -> None:
        self._asked("DELETE", f"/guests/{safe(guest_id)}")

    def attach(self, guest_id: str, disk: Disk) -> GuestState:
        return self._guest(guest_id, "attach", disk=document_of(disk))

    def detach(self, guest_id: str, serial: str) -> GuestState:
        return self._guest(guest_id, "detach", serial=serial)

    def resize(self, guest_id: str, serial: str, size: int) -> GuestState:
        return self._guest(guest_id, "resize", serial=serial, size=size)

    def plug(self, guest_id: str, nic: Nic) -> GuestState:
        return self._guest(guest_id, "plug", nic=document_of(nic))

    def unplug(self, guest_id: str, mac: str) -> GuestState:
        return self._guest(guest_id, "unplug", mac=mac)

    def tell(self, guest_id: str, told: Told) -> None:
        self._call(guest_id, "tell", told=document_of(told))

    def console_log(self, guest_id: str, lines: int | None) -> str:
        return str(self._call(guest_id, "console_log", lines=lines))

    def display(self, guest_id: str, kind: str) -> Display:
        display = value_of(Display, self._call(guest_id, "display", kind=kind))
        host = self._address if display.kind == Kind.LINE else display.host
        return replace(display, host=host, relay_host=self._address)

    def diagnostics(self, guest_id: str) -> dict[str, object]:
        return dict(self._call(guest_id, "diagnostics"))

    def freeze(self, guest_id: str, frozen: bool) -> bool:
        return bool(self._call(guest_id, "freeze", frozen=frozen))

    def set_password(self, guest_id: str, user: str, password: str) -> bool:
        return bool(self._call(guest_id, "set_password", user=user, password=password))

    def _guest(self, guest_id: str, call: str, **sent: Any) -> GuestState:
        return value_of(GuestState, self._call(guest_id, call, **sent))

    def _call(self, guest_id: str, call: str, **sent: Any) -> Any:
        return self._asked("POST", f"/guests/{safe(guest_id)}/{quote(call)}", sent)["answer"]

    def _asked(self, method: str, path: str, document: Any = None, timeout_s: float = CALL_S) -> dict[str, Any]:
        answer = self._service.ask(method, path, document, _EXPECTED, timeout_s=timeout_s)
        if answer.status == 204:
            return {}
        found = document_of_answer(answer)
        if "error" in found:
            raise _ERRORS.get(str(found["error"]), Unreachable)(str(found.get("message", "")))
        return found


class ClusterHosts:
    """`interface.Hosts`: those whose agents' addresses are known."""

    def __init__(self, urls: Mapping[str, str], login: ServiceLogin) -> None:
        """`urls`: by the host's name."""
        self._hosts = {name: HostClient(name, url, login) for name, url in urls.items()}

    def names(self) -> Sequence[str]:
        """Return their names."""
        return tuple(self._hosts)

    def get(self, name: str) -> Host:
        """Return a host. Raise NoSuch."""
        try:
            return self._hosts[name]
        except KeyError:
            raise NoSuch(f"there is no host {name}") from None
