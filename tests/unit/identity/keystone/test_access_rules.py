"""Access rules: identity/keystone/access_rules.py. Source: Keystone's API reference, "Access Rules"."""

import pytest

from identity.keystone.access_rules import AccessRule


@pytest.mark.parametrize(
    ("path", "asked", "is_permitted"),
    [
        ("/v2.1/servers", "/v2.1/servers", True),
        ("/v2.1/servers", "/v2.1/servers/1", False),
        ("/v2x1/servers", "/v2.1/servers", False),
        ("/v2.1/servers", "/v2x1/servers", False),
        ("/v2.1/servers/*/ips", "/v2.1/servers/1/ips", True),
        ("/v2.1/servers/*/ips", "/v2.1/servers/1/2/ips", False),
        ("/v2.1/servers/*", "/v2.1/servers/", False),
        ("/v2.1/servers/{id}", "/v2.1/servers/1", True),
        ("/v2.1/**", "/v2.1/servers/1/ips", True),
        ("/v2.1/**", "/v3/servers", False),
        ("/v2.1/servers", "/v2.1/servers\n", False),
    ],
)
def test_paths(path: str, asked: str, is_permitted: bool) -> None:
    assert AccessRule("compute", "GET", path).permits("compute", "GET", asked) is is_permitted


def test_service_and_method_count() -> None:
    rule = AccessRule("compute", "GET", "/a")
    assert rule.permits("compute", "HEAD", "/a")
    assert not rule.permits("compute", "POST", "/a")
    assert not rule.permits("volume", "GET", "/a")
