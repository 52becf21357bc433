"""Default rules of the image service, with Glance's names.

`admin` may do everything; `service` may do for users what other services of the cluster need; who is a `member` of the
project that owns an image changes it; a `reader` sees what its project sees. An operator's policy.yaml overrides single
rules. That an image is seen at all is decided before any rule is (`visibility`).

Source: Glance's published default policies (2025.1).
"""

from compute.policy import Rules

SHARED: Rules = {
    "context_is_admin": "role:admin",
    "trusted": "rule:context_is_admin or role:service",
}

_ADMIN = "rule:context_is_admin"
_OWN = "project_id:%(project_id)s"
_MEMBER_OF_OWNER = f"rule:trusted or (role:member and {_OWN})"
_SEEN = (
    f"{_OWN} or project_id:%(member_id)s or 'community':%(visibility)s or 'public':%(visibility)s "
    "or 'shared':%(visibility)s"
)

RULES: Rules = {
    "see_all": "rule:trusted",  # ours: images of whomever, whatever their visibility
    "add_image": f"rule:trusted or (role:member and {_OWN} and project_id:%(owner)s)",
    "choose_owner": "rule:trusted",  # ours
    "get_image": f"rule:trusted or (role:reader and ({_SEEN}))",
    "get_images": f"rule:trusted or (role:reader and {_OWN})",
    "get_image_tasks": f"rule:trusted or (role:reader and {_OWN})",  # ours
    "modify_image": _MEMBER_OF_OWNER,
    "delete_image": _MEMBER_OF_OWNER,
    "publicize_image": "rule:trusted",
    "communitize_image": _MEMBER_OF_OWNER,
    "download_image": f"rule:trusted or (role:member and ({_SEEN}))",
    "download_deactivated": _ADMIN,  # ours
    "upload_image": _MEMBER_OF_OWNER,
    "deactivate": _MEMBER_OF_OWNER,
    "reactivate": _MEMBER_OF_OWNER,
    "golden_image": f"rule:trusted or (role:member and ({_SEEN}))",  # ours: as a download
    "delete_image_location": _MEMBER_OF_OWNER,
    "add_member": f"{_ADMIN} or (role:member and {_OWN})",
    "delete_member": f"{_ADMIN} or (role:member and {_OWN})",
    "modify_member": f"{_ADMIN} or (role:member and project_id:%(member_id)s)",
    "get_member": f"{_ADMIN} or (role:reader and ({_OWN} or project_id:%(member_id)s))",
    "get_members": f"{_ADMIN} or (role:reader and ({_OWN} or project_id:%(member_id)s))",
    "tasks_api_access": _ADMIN,
    "stores_info": "@",  # ours: whoever has a token
    "stores_info_detail": _ADMIN,
    "get_limits": f"{_ADMIN} or (role:reader and {_OWN})",  # ours
    "set_limits": _ADMIN,  # ours
}
