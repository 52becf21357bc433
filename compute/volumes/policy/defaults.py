"""The default rules."""

from compute.policy import Rules

_OWN = "project_id:%(project_id)s"
ADMIN = "rule:admin_api"
READER = "rule:reader_of_project"
MEMBER = "rule:member_of_project"
MEMBER_OR_SERVICE = f"{MEMBER} or rule:service_role"
READER_OR_SERVICE = f"{READER} or rule:service_role"
ANYBODY = "@"  # with a token

SHARED: Rules = {
    "admin_api": "role:admin",
    "service_role": "role:service",
    "reader_of_project": f"role:admin or (role:reader and {_OWN})",
    "member_of_project": f"role:admin or (role:member and {_OWN})",
}

_READ = {
    "volume:get": READER_OR_SERVICE,
    "volume:get_all": READER,
    "volume:get_volume_metadata": READER,
    "volume:get_snapshot": READER,
    "volume:get_all_snapshots": READER,
    "volume:get_snapshot_metadata": READER,
    "volume:attachment_get": READER_OR_SERVICE,
    "volume:get_transfer": READER,
    "volume:get_all_transfers": READER,
    "backup:get": READER,
    "backup:get_all": READER,
    "message:get": READER,
    "message:get_all": READER,
    "limits_extension:used_limits": READER,
    "volume_extension:quotas:show": READER,
    "volume:availability_zone_list": ANYBODY,
    "volume_extension:list_extensions": ANYBODY,
    "volume_extension:type_get": ANYBODY,
    "volume_extension:type_get_all": ANYBODY,
    "volume:get_all_resource_filters": ANYBODY,
}

_CHANGE = {
    "volume:create": MEMBER,
    "volume:create_from_image": MEMBER,
    "volume:update": MEMBER,
    "volume:delete": MEMBER_OR_SERVICE,  # of servers that go
    "volume:create_volume_metadata": MEMBER,
    "volume:update_volume_metadata": MEMBER,
    "volume:delete_volume_metadata": MEMBER,
    "volume_extension:volume_image_metadata:set": MEMBER,
    "volume_extension:volume_image_metadata:remove": MEMBER,
    "volume:extend": MEMBER,
    "volume:extend_attached_volume": MEMBER,
    "volume:revert_to_snapshot": MEMBER,
    "volume:retype": MEMBER,
    "volume:reimage": MEMBER_OR_SERVICE,
    "volume:update_readonly_flag": MEMBER,
    "volume_extension:volume_actions:set_bootable": MEMBER,
    "volume_extension:volume_actions:upload_image": MEMBER,
    "volume_extension:volume_actions:attach": MEMBER_OR_SERVICE,
    "volume_extension:volume_actions:detach": MEMBER_OR_SERVICE,
    "volume_extension:volume_actions:reserve": MEMBER_OR_SERVICE,
    "volume_extension:volume_actions:unreserve": MEMBER_OR_SERVICE,
    "volume_extension:volume_actions:begin_detaching": MEMBER_OR_SERVICE,
    "volume_extension:volume_actions:roll_detaching": MEMBER_OR_SERVICE,
    "volume_extension:volume_actions:initialize_connection": MEMBER_OR_SERVICE,
    "volume_extension:volume_actions:terminate_connection": MEMBER_OR_SERVICE,
    "volume:attachment_create": MEMBER_OR_SERVICE,
    "volume:attachment_update": MEMBER_OR_SERVICE,
    "volume:attachment_delete": MEMBER_OR_SERVICE,
    "volume:attachment_complete": MEMBER_OR_SERVICE,
    "volume:create_snapshot": MEMBER_OR_SERVICE,
    "volume:update_snapshot": MEMBER,
    "volume:delete_snapshot": MEMBER,
    "volume:update_snapshot_metadata": MEMBER,
    "volume:delete_snapshot_metadata": MEMBER,
    "snapshot_extension:snapshot_actions:update_snapshot_status": MEMBER_OR_SERVICE,
    "volume:create_transfer": MEMBER,
    "volume:accept_transfer": MEMBER,
    "volume:delete_transfer": MEMBER,
    "backup:create": MEMBER,
    "backup:update": MEMBER,
    "backup:delete": MEMBER,
    "backup:restore": MEMBER,
    "message:delete": MEMBER,
}

_ADMINISTER = dict.fromkeys(
    (
        "volume:force_delete",
        "volume_extension:volume_admin_actions:reset_status",
        "volume_extension:volume_admin_actions:force_delete",
        "volume_extension:volume_admin_actions:force_detach",
        "volume:extend_volume_completion",
        "volume_extension:volume_actions:upload_public",
        "volume:multiattach_bootable_volume",
        "volume_extension:snapshot_admin_actions:reset_status",
        "volume_extension:snapshot_admin_actions:force_delete",
        "volume_extension:backup_admin_actions:reset_status",
        "volume_extension:backup_admin_actions:force_delete",
        "backup:backup-import",
        "backup:backup-export",
        "volume_extension:types_manage:create",
        "volume_extension:type_create",
        "volume_extension:type_update",
        "volume_extension:type_delete",
        "volume_extension:types_extra_specs:create",
        "volume_extension:types_extra_specs:update",
        "volume_extension:types_extra_specs:delete",
        "volume_extension:volume_type_access:get_all_for_type",
        "volume_extension:volume_type_access:addProjectAccess",
        "volume_extension:volume_type_access:removeProjectAccess",
        "volume_extension:volume_type_encryption:get",
        "volume_extension:volume_type_encryption:create",
        "volume_extension:volume_type_encryption:update",
        "volume_extension:volume_type_encryption:delete",
        "volume_extension:default_set_or_update",
        "volume_extension:default_get",
        "volume_extension:default_get_all",
        "volume_extension:default_unset",
        "volume_extension:qos_specs_manage:get_all",
        "volume_extension:qos_specs_manage:get",
        "volume_extension:qos_specs_manage:create",
        "volume_extension:qos_specs_manage:update",
        "volume_extension:qos_specs_manage:delete",
        "volume_extension:quotas:update",
        "volume_extension:quotas:delete",
        "volume_extension:quota_classes:get",
        "volume_extension:quota_classes:update",
        "volume_extension:services:index",
        "volume_extension:services:update",
        "volume_extension:capabilities",
        "scheduler_extension:scheduler_stats:get_pools",
        "volume_extension:hosts",
        "clusters:get_all",
        "volume:see_all",  # what is only shown to administrators: hosts, other projects
    ),
    ADMIN,
)
_ADMINISTER["volume:let_go_of_servers"] = "rule:service_role"  # of volumes that servers have: behind their backs
_ADMINISTER["volume_extension:types_extra_specs:index"] = READER
_ADMINISTER["volume_extension:types_extra_specs:read_sensitive"] = ADMIN
_ADMINISTER["volume:see_all"] = f"{ADMIN} or rule:service_role"

RULES: Rules = {**_READ, **_CHANGE, **_ADMINISTER}
assert len(RULES) == len(_READ) + len(_CHANGE) + len(_ADMINISTER)
