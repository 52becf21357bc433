"""Routes of servers, what is done to them, and what belongs to them."""

from collections.abc import Mapping

from cluster.controlplane.application import Operation
from compute.instances.api import (
    server_actions,
    server_creation,
    server_events,
    server_interfaces,
    server_lists,
    server_records,
    server_screens,
    server_volumes,
    server_words,
    servers,
)
from compute.microversions import since

_ONE = "servers/{server_id}"

ROUTES: Mapping[str, Mapping[str, Operation]] = {
    "servers": {"GET": server_lists.list_brief, "POST": server_creation.create},
    "servers/detail": {"GET": server_lists.list_detailed},
    _ONE: {"GET": servers.show, "PUT": servers.change, "DELETE": servers.remove},
    f"{_ONE}/action": {"POST": server_actions.act},
    f"{_ONE}/metadata": {
        "GET": server_words.list_metadata,
        "POST": server_words.add_metadata,
        "PUT": server_words.replace_metadata,
    },
    f"{_ONE}/metadata/{{key}}": {
        "GET": server_words.show_metadata,
        "PUT": server_words.set_metadata,
        "DELETE": server_words.remove_metadata,
    },
    f"{_ONE}/tags": {
        "GET": since(26, server_words.list_tags),
        "PUT": since(26, server_words.replace_tags),
        "DELETE": since(26, server_words.remove_tags),
    },
    f"{_ONE}/tags/{{tag}}": {
        "GET": since(26, server_words.show_tag),
        "PUT": since(26, server_words.add_tag),
        "DELETE": since(26, server_words.remove_tag),
    },
    f"{_ONE}/os-volume_attachments": {"GET": server_volumes.list_all, "POST": server_volumes.create},
    f"{_ONE}/os-volume_attachments/{{volume_id}}": {
        "GET": server_volumes.show,
        "PUT": server_volumes.change,
        "DELETE": server_volumes.remove,
    },
    f"{_ONE}/os-interface": {"GET": server_interfaces.list_all, "POST": server_interfaces.create},
    f"{_ONE}/os-interface/{{port_id}}": {"GET": server_interfaces.show, "DELETE": server_interfaces.remove},
    f"{_ONE}/ips": {"GET": server_interfaces.list_addresses},
    f"{_ONE}/ips/{{label}}": {"GET": server_interfaces.show_addresses},
    f"{_ONE}/os-security-groups": {"GET": server_interfaces.list_groups},
    f"{_ONE}/os-instance-actions": {"GET": server_records.list_actions},
    f"{_ONE}/os-instance-actions/{{request_id}}": {"GET": server_records.show_action},
    f"{_ONE}/migrations": {"GET": since(23, server_records.list_own_moves)},
    f"{_ONE}/remote-consoles": {"POST": since(6, server_screens.create_remote)},
    f"{_ONE}/diagnostics": {"GET": server_screens.show_diagnostics},
    "os-migrations": {"GET": server_records.list_moves},
    "os-server-external-events": {"POST": server_events.create},
    "os-console-auth-tokens/{token}": {"GET": since(31, server_screens.show_token)},
}
