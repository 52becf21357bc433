"""The routes of tokens and the catalog, and of the secrets of users.

To authenticate writes nothing but failures, which are counted afterwards: nobody waits for the one writer while
passwords are hashed.
"""

from cluster.controlplane.application import Route
from identity.keystone.api import (
    access_rules,
    application_credentials,
    auth,
    credentials,
    ec2_credentials,
    endpoints,
    regions,
    revoke_events,
    services,
    signatures,
    tokens,
)

_POST = frozenset(("POST",))
_USER = "/v3/users/{user_id}"
_PROGRAMS = f"{_USER}/application_credentials"
_KEYS = f"{_USER}/credentials/OS-EC2"

TOKEN_ROUTES = (
    Route(
        "/v3/auth/tokens",
        {"GET": tokens.validate, "POST": tokens.issue, "DELETE": tokens.revoke},
        reading=_POST,
    ),
    Route("/v3/auth/catalog", {"GET": auth.show_catalog}),
    Route("/v3/auth/projects", {"GET": auth.list_projects}),
    Route("/v3/auth/domains", {"GET": auth.list_domains}),
    Route("/v3/auth/system", {"GET": auth.list_systems}),
    Route("/v3/ec2tokens", {"POST": signatures.verify_ec2}, reading=_POST),
    Route("/v3/s3tokens", {"POST": signatures.verify_s3}, reading=_POST),
    Route("/v3/OS-REVOKE/events", {"GET": revoke_events.list_all}),
    Route("/v3/regions", {"GET": regions.list_all, "POST": regions.create}),
    Route(
        "/v3/regions/{region_id}",
        {"GET": regions.show, "PUT": regions.create_with_id, "PATCH": regions.change, "DELETE": regions.remove},
    ),
    Route("/v3/services", {"GET": services.list_all, "POST": services.create}),
    Route("/v3/services/{service_id}", {"GET": services.show, "PATCH": services.change, "DELETE": services.remove}),
    Route("/v3/endpoints", {"GET": endpoints.list_all, "POST": endpoints.create}),
    Route(
        "/v3/endpoints/{endpoint_id}", {"GET": endpoints.show, "PATCH": endpoints.change, "DELETE": endpoints.remove}
    ),
    Route("/v3/credentials", {"GET": credentials.list_all, "POST": credentials.create}),
    Route(
        "/v3/credentials/{credential_id}",
        {"GET": credentials.show, "PATCH": credentials.change, "DELETE": credentials.remove},
    ),
    Route(_KEYS, {"GET": ec2_credentials.list_all, "POST": ec2_credentials.create}),
    Route(f"{_KEYS}/{{access}}", {"GET": ec2_credentials.show, "DELETE": ec2_credentials.remove}),
    Route(_PROGRAMS, {"GET": application_credentials.list_all, "POST": application_credentials.create}),
    Route(
        f"{_PROGRAMS}/{{application_credential_id}}",
        {"GET": application_credentials.show, "DELETE": application_credentials.remove},
    ),
    Route(f"{_USER}/access_rules", {"GET": access_rules.list_all}),
    Route(f"{_USER}/access_rules/{{access_rule_id}}", {"GET": access_rules.show, "DELETE": access_rules.remove}),
)
