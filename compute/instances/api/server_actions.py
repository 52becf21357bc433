"""POST /v2.1/servers/{server_id}/action: what is done to a server, by the one name that the document has."""

from collections.abc import Mapping
from typing import Any

from cluster.controlplane.answer import Answer
from compute.actions import Action, Dispatch
from compute.errors import BadRequest, ComputeError
from compute.instances.api import (
    server_changes,
    server_images,
    server_interfaces,
    server_password,
    server_power,
    server_rescue,
    server_screens,
    servers,
)
from compute.instances.api.parts import Parts
from compute.instances.api.requests import Request
from compute.instances.api.server_access import RULE, server_for
from compute.microversions import asking_first


class NotImplementedHere(ComputeError):
    """Nothing here can do that."""

    status = 501  # type: ignore[assignment]


def _unable(rule: str, why: str) -> Action:
    def act(context: Request, server_id: str, _about: Any) -> Answer:
        server_for(context, RULE + rule, server_id)
        raise NotImplementedHere(why)

    return act


def _live(context: Request, server_id: str, _about: Any) -> Answer:
    server_for(context, f"{RULE}os-migrate-server:migrate_live", server_id)
    raise BadRequest("Servers are not moved while they run: use a cold migration.")


def _inject_network(context: Request, server_id: str, _about: Any) -> Answer:
    """Do nothing: what a guest is told of its networks is always told anew."""
    server_for(context, f"{RULE}os-admin-actions:inject_network_info", server_id)
    return Answer(202)


ACTIONS: Mapping[str, Action] = {
    "addSecurityGroup": server_interfaces.add_group,
    "changePassword": server_password.change,
    "createBackup": server_images.back_up,
    "confirmResize": server_changes.confirm_resize,
    "createImage": server_images.create,
    "evacuate": server_changes.evacuate,
    "forceDelete": servers.force_remove,
    "injectNetworkInfo": _inject_network,
    "lock": server_power.lock,
    "migrate": server_changes.migrate,
    "os-getConsoleOutput": server_screens.show_output,
    "os-getSerialConsole": server_screens.show_old,
    "os-getVNCConsole": server_screens.show_old,
    "os-migrateLive": _live,
    "os-resetState": server_power.reset_state,
    "os-start": server_power.start,
    "os-stop": server_power.stop,
    "pause": server_power.pause,
    "reboot": server_power.reboot,
    "rebuild": server_changes.rebuild,
    "removeSecurityGroup": server_interfaces.remove_group,
    "rescue": server_rescue.rescue,
    "resize": server_changes.resize,
    "restore": servers.restore,
    "resume": server_power.resume,
    "revertResize": server_changes.revert_resize,
    "shelve": server_changes.shelve,
    "shelveOffload": server_changes.shelve_offload,
    "suspend": server_power.suspend,
    "trigger_crash_dump": _unable("servers:trigger_crash_dump", "Guests are not made to crash here."),
    "unlock": server_power.unlock,
    "unpause": server_power.unpause,
    "unrescue": server_rescue.unrescue,
    "unshelve": server_changes.unshelve,
}


def _ask(parts: Parts, token: str, document: Any, server_id: str) -> Any:
    """Ask what an action needs to know of others."""
    if not isinstance(document, Mapping) or len(document) != 1:
        return None
    if "rebuild" in document:
        return server_changes.ask_image(parts, token, document)
    if "changePassword" in document:
        return server_password.ask_guest(parts, token, document, server_id)
    if "rescue" in document:
        return server_rescue.ask_image(parts, token, document, server_id)
    if "os-getConsoleOutput" in document:
        return server_screens.ask_output(parts, token, document, server_id)
    if "os-getVNCConsole" in document or "os-getSerialConsole" in document:
        return server_screens.ask_display(parts, token, document, server_id)
    if "addSecurityGroup" in document or "removeSecurityGroup" in document:
        return server_interfaces.change_groups(parts, token, document, server_id)
    return None


act = asking_first(_ask, of_path=True)(Dispatch(ACTIONS))
