"""What guests show: console output, screens and serial lines, diagnostics.

A link to a screen has a token that says where it is served (`compute.instances.links`). The console has the page that
it leads to; others who have one may ask what a token says (`show_token`).
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from cluster.controlplane.answer import Answer, ok
from cluster.controlplane.errors import Malformed
from compute.agent.interface import Display
from compute.instances import servers
from compute.instances.api.forms import Form, number
from compute.instances.api.parts import Parts
from compute.instances.api.requests import Request, at_least
from compute.instances.api.server_access import RULE, server_for, unlocked_for
from compute.instances.api.server_asking import named, of_host
from compute.instances.errors import Conflict, NotFound
from compute.instances.links import Opened, opened, sealed
from compute.instances.statuses import VmState
from compute.microversions import asking_first, found

_OUTPUT = Form("", {"length": {"type": ["integer", "string", "null"], "pattern": "^-?[0-9]+$"}})
_REMOTE = Form(
    "remote_console",
    {
        "protocol": {"enum": ["vnc", "spice", "serial", "rdp", "mks"]},
        "type": {"enum": ["novnc", "xvpvnc", "spice-html5", "serial", "rdp-html5", "webmks"]},
    },
    required=("protocol", "type"),
)
_OLD: Mapping[str, tuple[str, str]] = {  # actions of old versions
    "os-getVNCConsole": ("vnc", "novnc"),
    "os-getSerialConsole": ("serial", "serial"),
}
_PAGES: Mapping[str, str] = {"vnc": "screen", "serial": "serial"}
_RULE = f"{RULE}os-remote-consoles"


def ask_output(parts: Parts, token: str, document: Mapping[str, Any], server_id: str) -> str | None:
    """Return what a guest wrote, when that is what an action asks for."""
    about = named(document, "os-getConsoleOutput")
    if about is None:
        return None
    length = about.get("length")
    lines = None if length in (None, "", -1, "-1") else int(length) if str(length).lstrip("-").isdigit() else None
    return of_host(
        parts,
        token,
        server_id,
        f"{RULE}os-console-output",
        lambda host, server: host.console_log(server.id, None if lines is None else max(0, lines)),
    )


def show_output(context: Request, server_id: str, about: Any) -> Answer:
    """Return what a guest wrote on its serial line."""
    attributes = _OUTPUT.check(about or {})
    if attributes.get("length") is not None:
        number(attributes["length"], "length", -1)
    server = server_for(context, f"{RULE}os-console-output", server_id)
    if server.host is None:
        raise Conflict(f"Instance {server.id} is not ready")
    return ok({"output": found(context) or ""})


def ask_display(parts: Parts, token: str, document: Mapping[str, Any], server_id: str) -> Display | None:
    """Open a screen, when that is what a document asks for."""
    kind = next((protocol for name, (protocol, _type) in _OLD.items() if name in document), None)
    about = document.get("remote_console") if isinstance(document, Mapping) else None
    if isinstance(about, Mapping):
        kind = str(about.get("protocol"))
    if kind not in _PAGES:
        return None
    return of_host(parts, token, server_id, _RULE, lambda host, server: host.display(server.id, str(kind)))


@asking_first(ask_display, of_path=True)
def create_remote(context: Request, server_id: str) -> Answer:
    """POST …/remote-consoles (from 2.6 on)."""
    about = _REMOTE.read(context)
    if (about["protocol"], about["type"]) not in (("vnc", "novnc"), ("serial", "serial")):
        raise Malformed(f"Console type {about['type']} is not supported.")
    url = _url(context, server_id, about["protocol"])
    return ok({"remote_console": {"protocol": about["protocol"], "type": about["type"], "url": url}})


def show_old(context: Request, server_id: str, about: Any) -> Answer:
    """Return a link to a guest's screen, or serial line (up to 2.5)."""
    if at_least(context, 6):
        raise Malformed("Consoles are remote-consoles from version 2.6 on.")
    protocol = next(protocol for name, (protocol, _type) in _OLD.items() if name in context.document)
    kind = about.get("type") if isinstance(about, Mapping) else None
    if kind not in ("novnc", "serial"):
        raise Malformed(f"Unavailable console type {kind}.")
    return ok({"console": {"type": kind, "url": _url(context, server_id, protocol)}})


def show_token(context: Request, token: str) -> Answer:
    """GET /v2.1/os-console-auth-tokens/{token}: where a screen is served; for who serves the page."""
    context.enforce(f"{RULE}os-console-auth-tokens")
    told = opened(context.parts.settings.seal, token)
    if told is None:
        raise NotFound("Console token", token)
    servers.get(context.connection, told.instance_uuid)  # which may be gone by now
    return ok({"console": {**asdict(told), "internal_access_path": None, "tls_port": None}})


def _ask_diagnostics(parts: Parts, token: str, _document: Any, server_id: str) -> dict[str, object] | None:
    rule = f"{RULE}os-server-diagnostics"
    return of_host(parts, token, server_id, rule, lambda host, server: host.diagnostics(server.id))


@asking_first(_ask_diagnostics, of_path=True)
def show_diagnostics(context: Request, server_id: str) -> Answer:
    """GET …/diagnostics."""
    server = server_for(context, f"{RULE}os-server-diagnostics", server_id)
    if server.vm_state not in (VmState.ACTIVE, VmState.RESCUED, VmState.PAUSED, VmState.RESIZED):
        raise Conflict(f"Instance {server.id} is not running")
    told: dict[str, Any] = dict(found(context) or {})
    if at_least(context, 48):
        return ok(told)
    flat = {f"cpu{index}_time": each.get("time") for index, each in enumerate(told.get("cpu_details") or ())}
    memory = told.get("memory_details") or {}
    return ok({**flat, "memory": memory.get("maximum", server.memory_mib * 1024)})


def _url(context: Request, server_id: str, protocol: str) -> str:
    server = unlocked_for(context, _RULE, server_id)
    display: Display | None = found(context)
    if display is None:
        raise Conflict(f"Instance {server.id} is not ready")
    told = Opened(instance_uuid=server.id, **asdict(display))
    token = sealed(context.parts.settings.seal, told)
    return f"{context.parts.settings.console_url}/{_PAGES[protocol]}?token={token}"
