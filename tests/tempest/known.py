"""Why tests of tempest do not pass: by the beginning of their names."""

from collections.abc import Mapping

_ADMIN = "tempest.api.identity.admin.v3"
_VOLUMES = "tempest.api.volume"
_IMAGES = "tempest.api.image.v2"

REASONS: Mapping[str, str] = {
    f"{_ADMIN}.test_domain_configuration": "domains have no drivers of their own (LDAP), hence no settings",
    f"{_ADMIN}.test_endpoint_groups": "the catalog is the same for all projects",
    f"{_ADMIN}.test_oauth_consumers": "no OAuth",
    f"{_ADMIN}.test_policies": "policies are files; Keystone itself only keeps them and deprecates that",
    f"{_IMAGES}.admin.test_images_metadefs": "no metadata definitions",
    f"{_IMAGES}.test_images_metadefs": "no metadata definitions",
    f"{_VOLUMES}.admin.test_group": "volumes have no groups",
}
