"""Routes of what servers need and are among: flavors, key pairs, hosts, quotas, usage."""

from collections.abc import Mapping

from cluster.controlplane.application import Operation
from compute.instances.api import (
    aggregates,
    extensions,
    flavor_access,
    flavor_specs,
    flavors,
    gone,
    hosts,
    hypervisors,
    key_pairs,
    limits,
    quotas,
    server_groups,
    services,
    usage,
    zones,
)
from compute.microversions import since, until

_FLAVORS: Mapping[str, Mapping[str, Operation]] = {
    "flavors": {"GET": flavors.list_brief, "POST": flavors.create},
    "flavors/detail": {"GET": flavors.list_detailed},
    "flavors/{flavor_id}": {
        "GET": flavors.show,
        "PUT": since(flavors.DESCRIPTION_SINCE, flavors.change),
        "DELETE": flavors.remove,
    },
    "flavors/{flavor_id}/action": {"POST": flavor_access.act},
    "flavors/{flavor_id}/os-flavor-access": {"GET": flavor_access.list_all},
    "flavors/{flavor_id}/os-extra_specs": {"GET": flavor_specs.list_all, "POST": flavor_specs.add},
    "flavors/{flavor_id}/os-extra_specs/{key}": {
        "GET": flavor_specs.show,
        "PUT": flavor_specs.change,
        "DELETE": flavor_specs.remove,
    },
}
_OWN: Mapping[str, Mapping[str, Operation]] = {
    "os-keypairs": {"GET": key_pairs.list_all, "POST": key_pairs.create},
    "os-keypairs/{name}": {"GET": key_pairs.show, "DELETE": key_pairs.remove},
    "os-server-groups": {"GET": server_groups.list_all, "POST": server_groups.create},
    "os-server-groups/{group_id}": {"GET": server_groups.show, "DELETE": server_groups.remove},
}
_HOSTS: Mapping[str, Mapping[str, Operation]] = {
    "os-aggregates": {"GET": aggregates.list_all, "POST": aggregates.create},
    "os-aggregates/{aggregate_id}": {"GET": aggregates.show, "PUT": aggregates.change, "DELETE": aggregates.remove},
    "os-aggregates/{aggregate_id}/action": {"POST": aggregates.act},
    "os-aggregates/{aggregate_id}/images": {"POST": since(aggregates.IMAGES_SINCE, aggregates.cache_images)},
    "os-availability-zone": {"GET": zones.list_brief},
    "os-availability-zone/detail": {"GET": zones.list_detailed},
    "os-hosts": {"GET": until(hosts.LAST_VERSION, hosts.list_all)},
    "os-hosts/{host}": {
        "GET": until(hosts.LAST_VERSION, hosts.show),
        "PUT": until(hosts.LAST_VERSION, hosts.change),
    },
    "os-hosts/{host}/reboot": {"GET": until(hosts.LAST_VERSION, hosts.reboot)},
    "os-hosts/{host}/shutdown": {"GET": until(hosts.LAST_VERSION, hosts.shut_down)},
    "os-hosts/{host}/startup": {"GET": until(hosts.LAST_VERSION, hosts.start_up)},
    "os-services": {"GET": services.list_all},
    "os-services/{service_id}": {"PUT": services.change, "DELETE": services.remove},
    "os-hypervisors": {"GET": hypervisors.list_brief},
    "os-hypervisors/detail": {"GET": hypervisors.list_detailed},
    "os-hypervisors/statistics": {"GET": until(hypervisors.UPTIME_SINCE - 1, hypervisors.show_statistics)},
    "os-hypervisors/{hypervisor_id}": {"GET": hypervisors.show},
    "os-hypervisors/{hypervisor_id}/uptime": {"GET": until(hypervisors.UPTIME_SINCE - 1, hypervisors.show_uptime)},
    "os-hypervisors/{hypervisor_id}/search": {"GET": until(hypervisors.UUID_SINCE - 1, hypervisors.search)},
    "os-hypervisors/{hypervisor_id}/servers": {"GET": until(hypervisors.UUID_SINCE - 1, hypervisors.list_servers)},
}
_SHARES: Mapping[str, Mapping[str, Operation]] = {
    "limits": {"GET": limits.show},
    "os-quota-sets/{target_id}": {"GET": quotas.show, "PUT": quotas.change, "DELETE": quotas.remove},
    "os-quota-sets/{target_id}/detail": {"GET": quotas.show_detail},
    "os-quota-sets/{target_id}/defaults": {"GET": quotas.show_defaults},
    "os-quota-class-sets/{name}": {"GET": quotas.show_class, "PUT": quotas.change_class},
    "os-simple-tenant-usage": {"GET": usage.list_all},
    "os-simple-tenant-usage/{target_id}": {"GET": usage.show},
    "extensions": {"GET": extensions.list_all},
    "extensions/{alias}": {"GET": extensions.show},
}

ROUTES: Mapping[str, Mapping[str, Operation]] = {**_FLAVORS, **_OWN, **_HOSTS, **_SHARES, **gone.ROUTES}
