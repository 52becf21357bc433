"""What OpenStack's clients find a cluster by: `clouds.yaml`, `openrc`, and the administrator's first password.

The password is made once, with the cluster, or when the service is enabled for one that had none, and is in files of
their owner's alone. Who changes it by the API writes the new one into `admin.password`: the other files are written
from that at each start.
"""

import json
import secrets
import shlex
from collections.abc import Mapping

from cluster.config import Config
from cluster.config.services import IDENTITY
from cluster.layout import Layout
from tools.private_file import write_private

CLOUD = "holdfast"  # its name in clouds.yaml
ADMIN = "admin"  # the user, and its project
DOMAIN = "default"  # the id of their domain
_PASSWORD_BYTES = 24  # random; 32 characters


def ensure_password(layout: Layout) -> None:
    """Make the administrator's password unless there is one."""
    try:
        if layout.admin_password.read_text().strip():
            return
    except FileNotFoundError:
        pass
    write_private(layout.admin_password, secrets.token_urlsafe(_PASSWORD_BYTES) + "\n")


def refresh(layout: Layout, config: Config) -> dict[str, str]:
    """Write the files anew, and return the variables; without the service there are none."""
    if not config.identity.enabled:
        return {}
    ensure_password(layout)
    values = variables(config, layout.admin_password.read_text().strip())
    write_private(layout.openrc, "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items()))
    write_private(layout.clouds, render_clouds(values))
    return values


def variables(config: Config, password: str) -> dict[str, str]:
    """Return what clients read from their environment."""
    return {
        "OS_AUTH_URL": IDENTITY.api_url(config),
        "OS_IDENTITY_API_VERSION": "3",
        "OS_USERNAME": ADMIN,
        "OS_PASSWORD": password,
        "OS_PROJECT_NAME": ADMIN,
        "OS_USER_DOMAIN_ID": DOMAIN,
        "OS_PROJECT_DOMAIN_ID": DOMAIN,
        "OS_REGION_NAME": config.identity.region,
    }


def render_clouds(values: Mapping[str, str]) -> str:
    """Return clouds.yaml with one cloud; strings of JSON are strings of YAML."""
    auth = {
        "auth_url": values["OS_AUTH_URL"],
        "username": values["OS_USERNAME"],
        "password": values["OS_PASSWORD"],
        "project_name": values["OS_PROJECT_NAME"],
        "user_domain_id": values["OS_USER_DOMAIN_ID"],
        "project_domain_id": values["OS_PROJECT_DOMAIN_ID"],
    }
    return "\n".join(
        [
            "clouds:",
            f"  {CLOUD}:",
            "    auth:",
            *(f"      {name}: {json.dumps(value)}" for name, value in auth.items()),
            f"    region_name: {json.dumps(values['OS_REGION_NAME'])}",
            "    identity_api_version: 3",
            "",
        ]
    )
