"""The default rules."""

from compute.policy import Rules

ADMIN = "rule:admin_only"
ADMIN_OR_SERVICE = "rule:admin_only or rule:service_api"
READER = "rule:admin_only or (role:reader and project_id:%(project_id)s)"
MEMBER = "rule:admin_only or (role:member and project_id:%(project_id)s)"
NETWORK_OWNER = "role:member and rule:network_owner"
GROUP_OWNER = "role:member and rule:sg_owner"
OF_NETWORK = f"rule:admin_only or rule:service_api or ({NETWORK_OWNER})"

SHARED: Rules = {
    "context_is_admin": "role:admin",
    "service_api": "role:service",
    "admin_only": "rule:context_is_admin",
    "sees_all": "rule:context_is_admin or rule:service_api",
    "network_owner": "project_id:%(network:project_id)s",
    "sg_owner": "project_id:%(security_group:project_id)s",
    "shared": "True:%(shared)s",
    "external": "True:%(external)s",
    "network_device": "True:%(network_device)s",
}

_NETWORKS = {
    "create_network": MEMBER,
    **dict.fromkeys(
        (
            "create_network:shared",
            "create_network:router:external",
            "create_network:is_default",
            "create_network:provider:network_type",
            "create_network:provider:physical_network",
            "create_network:provider:segmentation_id",
            "update_network:shared",
            "update_network:router:external",
            "update_network:is_default",
        ),
        ADMIN,
    ),
    "create_network:port_security_enabled": MEMBER,
    "create_network:mtu": MEMBER,
    "get_network": f"{READER} or rule:shared or rule:external or rule:service_api",
    "get_network:provider:network_type": ADMIN_OR_SERVICE,
    "get_network:provider:physical_network": ADMIN_OR_SERVICE,
    "get_network:provider:segmentation_id": ADMIN_OR_SERVICE,
    "update_network": MEMBER,
    "update_network:port_security_enabled": MEMBER,
    "delete_network": MEMBER,
}

_SUBNETS = {
    "create_subnet": f"rule:admin_only or ({NETWORK_OWNER})",
    "create_subnet:service_types": ADMIN,
    "get_subnet": f"{READER} or rule:shared or rule:external or rule:service_api",
    "update_subnet": f"{MEMBER} or ({NETWORK_OWNER})",
    "update_subnet:service_types": ADMIN,
    "delete_subnet": f"{MEMBER} or ({NETWORK_OWNER})",
}

_PORTS = {
    "create_port": f"({MEMBER}) and (rule:admin_only or rule:shared or rule:network_owner) or rule:service_api",
    "create_port:device_owner": f"not rule:network_device or {OF_NETWORK}",
    "create_port:mac_address": OF_NETWORK,
    "create_port:fixed_ips": f"{OF_NETWORK} or rule:shared",
    "create_port:fixed_ips:ip_address": OF_NETWORK,
    "create_port:fixed_ips:subnet_id": f"{OF_NETWORK} or rule:shared",
    "create_port:port_security_enabled": OF_NETWORK,
    "create_port:allowed_address_pairs": f"rule:admin_only or ({NETWORK_OWNER})",
    "create_port:binding:host_id": ADMIN_OR_SERVICE,
    "create_port:binding:profile": ADMIN_OR_SERVICE,
    "create_port:binding:vnic_type": f"{MEMBER} or rule:service_api",
    "get_port": f"{READER} or rule:service_api or (role:reader and rule:network_owner)",
    "get_port:binding:host_id": ADMIN_OR_SERVICE,
    "get_port:binding:profile": ADMIN_OR_SERVICE,
    "get_port:binding:vif_type": ADMIN_OR_SERVICE,
    "get_port:binding:vif_details": ADMIN_OR_SERVICE,
    "update_port": f"{MEMBER} or rule:service_api",
    "update_port:device_owner": f"not rule:network_device or {OF_NETWORK}",
    "update_port:mac_address": ADMIN_OR_SERVICE,
    "update_port:fixed_ips": f"{OF_NETWORK} or rule:shared",
    "update_port:fixed_ips:ip_address": OF_NETWORK,
    "update_port:fixed_ips:subnet_id": f"{OF_NETWORK} or rule:shared",
    "update_port:port_security_enabled": OF_NETWORK,
    "update_port:allowed_address_pairs": f"rule:admin_only or ({NETWORK_OWNER})",
    "update_port:binding:host_id": ADMIN_OR_SERVICE,
    "update_port:binding:profile": ADMIN_OR_SERVICE,
    "update_port:binding:vnic_type": f"{MEMBER} or rule:service_api",
    "delete_port": f"{MEMBER} or rule:service_api or ({NETWORK_OWNER})",
}

_GROUPS = {
    "create_security_group": MEMBER,
    "get_security_group": f"{READER} or rule:service_api",
    "update_security_group": MEMBER,
    "delete_security_group": MEMBER,
    "create_security_group_rule": f"{MEMBER} and (rule:admin_only or rule:sg_owner)",
    "get_security_group_rule": f"{READER} or rule:service_api or (role:reader and rule:sg_owner)",
    "delete_security_group_rule": f"{MEMBER} or ({GROUP_OWNER})",
}

_ROUTERS = {
    **dict.fromkeys(
        (
            "create_router",
            "create_router:external_gateway_info",
            "create_router:external_gateway_info:network_id",
            "update_router",
            "update_router:external_gateway_info",
            "update_router:external_gateway_info:network_id",
            "delete_router",
            "add_router_interface",
            "remove_router_interface",
            "create_floatingip",
            "update_floatingip",
            "delete_floatingip",
        ),
        MEMBER,
    ),
    **dict.fromkeys(
        (
            "create_router:external_gateway_info:enable_snat",
            "create_router:external_gateway_info:external_fixed_ips",
            "update_router:external_gateway_info:enable_snat",
            "update_router:external_gateway_info:external_fixed_ips",
            "create_floatingip:floating_ip_address",
        ),
        ADMIN,
    ),
    "get_router": f"{READER} or rule:service_api",
    "get_floatingip": f"{READER} or rule:service_api",
}

_SURROUNDINGS = dict.fromkeys(
    (
        "get_agent",
        "update_agent",
        "delete_agent",
        "get_network_ip_availability",
        "get_quota",
        "update_quota",
        "delete_quota",
    ),
    ADMIN,
)

_ALL = (_NETWORKS, _SUBNETS, _PORTS, _GROUPS, _ROUTERS, _SURROUNDINGS)
RULES: Rules = {name: rule for rules in _ALL for name, rule in rules.items()}
assert len(RULES) == sum(map(len, _ALL))
