"""Default rules: regions, services, endpoints. Everybody sees regions; URLs come with tokens."""

from identity.keystone.policy.checks import ADMIN, ADMIN_OR_SYSTEM_READER, ANYBODY, Rules

REGIONS: Rules = {
    "identity:get_region": ANYBODY,
    "identity:list_regions": ANYBODY,
    "identity:create_region": ADMIN,
    "identity:update_region": ADMIN,
    "identity:delete_region": ADMIN,
}

SERVICES: Rules = {
    "identity:get_service": ADMIN_OR_SYSTEM_READER,
    "identity:list_services": ADMIN_OR_SYSTEM_READER,
    "identity:create_service": ADMIN,
    "identity:update_service": ADMIN,
    "identity:delete_service": ADMIN,
}

ENDPOINTS: Rules = {
    "identity:get_endpoint": ADMIN_OR_SYSTEM_READER,
    "identity:list_endpoints": ADMIN_OR_SYSTEM_READER,
    "identity:create_endpoint": ADMIN,
    "identity:update_endpoint": ADMIN,
    "identity:delete_endpoint": ADMIN,
}
