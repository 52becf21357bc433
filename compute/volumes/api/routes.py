"""The routes of the API. Each is there twice: below /v3/PROJECT, and below /v3."""

from collections.abc import Iterator, Mapping

from cluster.controlplane.application import Operation, Route
from compute.microversions import since
from compute.volumes.api import (
    attachments,
    backups,
    default_types,
    messages,
    qos,
    quotas,
    snapshots,
    surroundings,
    transfers,
    type_access,
    type_encryption,
    type_specs,
    types,
    versions,
    volume_actions,
    volume_creation,
    volumes,
)
from compute.volumes.api.metadata import Metadata
from compute.volumes.api.requests import snapshot_for, volume_for
from compute.volumes.schema import snapshot_metadata, volume_metadata

_OF_VOLUMES = Metadata(
    volume_metadata,
    volume_for,
    "volume:get_volume_metadata",
    "volume:update_volume_metadata",
    "volume:delete_volume_metadata",
)
_OF_SNAPSHOTS = Metadata(
    snapshot_metadata,
    snapshot_for,
    "volume:get_snapshot_metadata",
    "volume:update_snapshot_metadata",
    "volume:delete_snapshot_metadata",
)


def routes() -> list[Route]:
    """Return them all."""
    found = [
        Route("/", {"GET": versions.list_versions}),
        Route("/v3", {"GET": versions.show_version}),
        Route("/v3/{project_id}", {"GET": versions.show_version_below}),  # of which one may be empty: /v3/
    ]
    for path, operations in _paths():
        found += [Route(f"/v3/{path}", operations), Route(f"/v3/{{project_id}}/{path}", operations)]
    return found


def _paths() -> Iterator[tuple[str, Mapping[str, Operation]]]:
    yield from _VOLUMES.items()
    yield from _COPIES.items()
    yield from _TYPES.items()
    yield from _SERVICE.items()
    for path, first in (("os-volume-transfer", 0), ("volume-transfers", 55)):
        for end, operations in _TRANSFERS.items():
            yield path + end, {method: since(first, operation) for method, operation in operations.items()}
    for name, (first, lists) in _LEFT_OUT.items():
        yield name, {"GET": since(first, surroundings.list_none(lists))}
        yield f"{name}/detail", {"GET": since(first, surroundings.list_none(lists))}


def _metadata(path: str, metadata: Metadata) -> dict[str, Mapping[str, Operation]]:
    return {
        f"{path}/metadata": {"GET": metadata.list_all, "POST": metadata.add, "PUT": metadata.replace},
        f"{path}/metadata/{{key}}": {"GET": metadata.show, "PUT": metadata.change, "DELETE": metadata.remove},
    }


_VOLUMES: Mapping[str, Mapping[str, Operation]] = {
    "volumes": {"GET": volumes.list_brief, "POST": volume_creation.create},
    "volumes/detail": {"GET": volumes.list_detailed},
    "volumes/summary": {"GET": since(12, volumes.summarize)},
    "volumes/{volume_id}": {"GET": volumes.show, "PUT": volumes.change, "DELETE": volumes.remove},
    "volumes/{volume_id}/action": {"POST": volume_actions.act},
    **_metadata("volumes/{volume_id}", _OF_VOLUMES),
    "attachments": {"GET": since(27, attachments.list_brief), "POST": since(27, attachments.create)},
    "attachments/detail": {"GET": since(27, attachments.list_detailed)},
    "attachments/summary": {"GET": since(27, attachments.list_brief)},
    "attachments/{attachment_id}": {
        "GET": since(27, attachments.show),
        "PUT": since(27, attachments.change),
        "DELETE": since(27, attachments.remove),
    },
    "attachments/{attachment_id}/action": {"POST": since(27, attachments.act)},
}

_COPIES: Mapping[str, Mapping[str, Operation]] = {
    "snapshots": {"GET": snapshots.list_brief, "POST": snapshots.create},
    "snapshots/detail": {"GET": snapshots.list_detailed},
    "snapshots/{snapshot_id}": {"GET": snapshots.show, "PUT": snapshots.change, "DELETE": snapshots.remove},
    "snapshots/{snapshot_id}/action": {"POST": snapshots.act},
    **_metadata("snapshots/{snapshot_id}", _OF_SNAPSHOTS),
    "backups": {"GET": backups.list_brief, "POST": backups.create},
    "backups/detail": {"GET": backups.list_detailed},
    "backups/import_record": {"POST": backups.import_record},
    "backups/{backup_id}": {
        "GET": backups.show,
        "PUT": since(9, backups.change),
        "DELETE": backups.remove,
    },
    "backups/{backup_id}/restore": {"POST": backups.restore},
    "backups/{backup_id}/export_record": {"GET": backups.export},
    "backups/{backup_id}/action": {"POST": backups.act},
}

_TRANSFERS: Mapping[str, Mapping[str, Operation]] = {
    "": {"GET": transfers.list_brief, "POST": transfers.create},
    "/detail": {"GET": transfers.list_detailed},
    "/{transfer_id}": {"GET": transfers.show, "DELETE": transfers.remove},
    "/{transfer_id}/accept": {"POST": transfers.accept},
}

_TYPES: Mapping[str, Mapping[str, Operation]] = {
    "types": {"GET": types.list_all, "POST": types.create},
    "types/{type_id}": {"GET": types.show, "PUT": types.change, "DELETE": types.remove},
    "types/{type_id}/action": {"POST": type_access.act},
    "types/{type_id}/os-volume-type-access": {"GET": type_access.list_all},
    "types/{type_id}/extra_specs": {"GET": type_specs.list_all, "POST": type_specs.add},
    "types/{type_id}/extra_specs/{key}": {
        "GET": type_specs.show,
        "PUT": type_specs.change,
        "DELETE": type_specs.remove,
    },
    "types/{type_id}/encryption": {"GET": type_encryption.show, "POST": type_encryption.create},
    "types/{type_id}/encryption/{key}": {
        "GET": type_encryption.show_attribute,
        "PUT": type_encryption.change,
        "DELETE": type_encryption.remove,
    },
    "default-types": {"GET": since(62, default_types.list_all)},
    "default-types/{target_id}": {
        "GET": since(62, default_types.show),
        "PUT": since(62, default_types.replace),
        "DELETE": since(62, default_types.remove),
    },
    "qos-specs": {"GET": qos.list_all, "POST": qos.create},
    "qos-specs/{qos_id}": {"GET": qos.show, "PUT": qos.change, "DELETE": qos.remove},
    "qos-specs/{qos_id}/delete_keys": {"PUT": qos.remove_keys},
    "qos-specs/{qos_id}/associations": {"GET": qos.list_associations},
    "qos-specs/{qos_id}/associate": {"GET": qos.associate},
    "qos-specs/{qos_id}/disassociate": {"GET": qos.disassociate},
    "qos-specs/{qos_id}/disassociate_all": {"GET": qos.disassociate_all},
}

_SERVICE: Mapping[str, Mapping[str, Operation]] = {
    "os-quota-sets/{target_id}": {"GET": quotas.show, "PUT": quotas.change, "DELETE": quotas.remove},
    "os-quota-sets/{target_id}/defaults": {"GET": quotas.show_defaults},
    "os-quota-class-sets/{name}": {"GET": quotas.show_class, "PUT": quotas.change_class},
    "limits": {"GET": quotas.show_limits},
    "messages": {"GET": since(3, messages.list_all)},
    "messages/{message_id}": {"GET": since(3, messages.show), "DELETE": since(3, messages.remove)},
    "os-availability-zone": {"GET": surroundings.list_zones},
    "extensions": {"GET": surroundings.list_extensions},
    "extensions/{alias}": {"GET": surroundings.show_extension},
    "resource_filters": {"GET": since(33, surroundings.list_filters)},
    "os-services": {"GET": surroundings.list_services},
    "os-services/{verb}": {"PUT": surroundings.change_service},
    "os-hosts": {"GET": surroundings.list_hosts},
    "os-hosts/{host}": {"GET": surroundings.show_host},
    "clusters": {"GET": since(7, surroundings.list_clusters)},
    "scheduler-stats/get_pools": {"GET": surroundings.list_pools},
    "capabilities/{host}": {"GET": surroundings.show_capabilities},
}

# What is left out: clients that look for it find that there is none. Version, and the name of the list.
_LEFT_OUT: Mapping[str, tuple[int, str]] = {
    "consistencygroups": (0, "consistencygroups"),
    "cgsnapshots": (0, "cgsnapshots"),
    "groups": (13, "groups"),
    "group_types": (11, "group_types"),
    "group_snapshots": (14, "group_snapshots"),
}
