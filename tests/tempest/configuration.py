"""tempest.conf: what tempest is told of a cluster."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from cluster.config import Config
from cluster.config.services import IDENTITY, running
from compute.instances.api.versions import API as NOVA
from compute.network.beginnings import EXTERNAL

RESELLER = "ResellerAdmin"  # the role that Swift knows
MULTIATTACH = "shared"  # a type of volumes that several servers may have
Sections = Mapping[str, Mapping[str, object]]

# of [identity], as tempest's tests of locking out and of former passwords are told below
IDENTITY_SETTINGS: Mapping[str, object] = {"lockout_failures": 2, "lockout_s": 5, "password_history": 2}

# of [images]: what is fetched from the web comes from this machine
IMAGES_SETTINGS: Mapping[str, object] = {"web_private_addresses": True, "web_ports": ()}


# of [compute]: guests that reach nothing need no privileges
COMPUTE_SETTINGS: Mapping[str, object] = {"start": "yes", "agents": 1, "networking": "user"}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What tests find there: ids."""

    images: tuple[str, str]  # that all see
    image_url: str  # of one on the web, in the format qcow2
    flavors: tuple[str, str] = ("1", "2")
    network_extensions: tuple[str, ...] = ()  # that the network service says it has
    external_network: str = ""  # whose addresses float


def sections(config: Config, password: str, workspace: str, features: Collection[str], prepared: Prepared) -> Sections:
    """Return the settings by section; `features` are those that Swift's API says it has."""
    names = {service.api.lower() for service in running(config)}
    return {
        "DEFAULT": {"log_file": "tempest.log", "debug": False},
        "oslo_concurrency": {"lock_path": f"{workspace}/locks"},
        "auth": {
            "use_dynamic_credentials": True,
            "admin_username": "admin",
            "admin_password": password,
            "admin_project_name": "admin",
            "admin_domain_name": "Default",
            "create_isolated_networks": False,
        },
        "identity": {
            "uri_v3": IDENTITY.api_url(config),
            "region": config.identity.region,
            "user_lockout_failure_attempts": IDENTITY_SETTINGS["lockout_failures"],
            "user_lockout_duration": IDENTITY_SETTINGS["lockout_s"],
            "user_unique_last_password_count": IDENTITY_SETTINGS["password_history"],
        },
        "identity-feature-enabled": {"trust": False, "security_compliance": True},
        "enforce_scope": {"keystone": True, "glance": True, "cinder": True, "nova": True, "neutron": True},
        "object-storage": {"operator_role": "member", "reseller_admin_role": RESELLER},
        "object-storage-feature-enabled": {
            "container_sync": "container_sync" in features,
            "object_versioning": "versioned_writes" in features,
            "discoverable_apis": ",".join(features),
        },
        "compute": {
            "image_ref": prepared.images[0],  # for tests of volumes, too
            "image_ref_alt": prepared.images[1],
            "flavor_ref": prepared.flavors[0],
            "flavor_ref_alt": prepared.flavors[1],
            "min_microversion": NOVA.text(NOVA.oldest),
            "max_microversion": NOVA.text(NOVA.newest),
            "min_compute_nodes": COMPUTE_SETTINGS["agents"],
        },
        # guests have nothing to boot, so that they write nothing; there is one host
        "compute-feature-enabled": {
            "resize": True,
            "cold_migration": False,
            "live_migration": False,
            "rescue": True,
            "console_output": False,
            "volume_multiattach": True,
        },
        "network": {"public_network_id": prepared.external_network, "floating_network_name": EXTERNAL},
        "network-feature-enabled": {
            "api_extensions": ",".join(prepared.network_extensions),
            "floating_ips": bool(prepared.external_network),
            "port_security": "port-security" in prepared.network_extensions,
        },
        "validation": {"run_validation": False, "connect_method": "fixed"},  # nobody reaches the guests
        "volume": {
            "vendor_name": "Holdfast",
            "storage_protocol": "nbd",
            "volume_type_multiattach": MULTIATTACH,
            "min_microversion": "3.0",
            "max_microversion": "latest",
        },
        "volume-feature-enabled": {"extend_attached_volume": True},
        # image_format_enforcement: tempest must not upload noise as qcow2
        "image": {"disk_formats": "raw,qcow2", "container_formats": "bare,ovf", "http_qcow2_image": prepared.image_url},
        "image-feature-enabled": {
            "import_image": True,
            "os_glance_reserved": True,
            "image_format_enforcement": True,
            "manage_locations": False,
        },
        "service_available": {
            "swift": True,
            "glance": "glance" in names,
            "cinder": "cinder" in names,
            "nova": "nova" in names,
            "neutron": True,  # see preparation
            "horizon": False,
        },
    }


def render(settings: Sections) -> str:
    """Return them as the file has them."""
    parts = []
    for name, values in settings.items():
        parts.append("\n".join([f"[{name}]", *(f"{key} = {value}" for key, value in values.items()), ""]))
    return "\n".join(parts)
