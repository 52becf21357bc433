"""The users of services: cluster/controlplane/service_user.py."""

import string

from cluster.controlplane.service_user import service_user

KEY = b"k" * 32


def test_each_service_has_secrets_of_its_own_and_the_same_at_each_start() -> None:
    images, volumes = service_user(KEY, "images"), service_user(KEY, "volumes")
    assert images == service_user(KEY, "images")
    assert images != service_user(b"K" * 32, "images")
    for member in ("id", "password", "access_key", "secret_key"):
        assert getattr(images, member) != getattr(volumes, member)


def test_its_key_looks_as_s3_clients_expect_keys() -> None:
    user = service_user(KEY, "images")
    assert len(user.access_key) == 16
    assert set(user.access_key) <= set(string.ascii_uppercase + string.digits)
    assert len(user.secret_key) == 40
    assert set(user.secret_key) <= set(string.ascii_letters + string.digits)


def test_its_secrets_are_not_shown() -> None:
    user = service_user(KEY, "images")
    assert user.password not in repr(user)
    assert user.secret_key not in repr(user)
