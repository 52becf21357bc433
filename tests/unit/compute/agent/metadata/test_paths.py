"""What guests are told, at which paths. Source: docs.openstack.org/nova, "Metadata"; AWS's metadata categories."""

import json

import pytest

from compute.agent import config_drive
from compute.agent.guest import Guest, Told
from compute.agent.metadata.paths import content
from tests.unit.compute.agent.memory import guest

WEB = guest()


def text_at(path: str, web: Guest = WEB) -> str | None:
    found = content(web, path)
    return None if found is None else found.data.decode()


def test_versions_are_listed() -> None:
    assert text_at("/").splitlines()[-2:] == ["latest", "openstack"]  # type: ignore[union-attr]
    assert text_at("/openstack").splitlines()[0] == "2012-08-10"  # type: ignore[union-attr]
    assert text_at("/openstack/") == text_at("/openstack")


@pytest.mark.parametrize(
    ("version", "files"),
    [
        ("2012-08-10", {"meta_data.json", "user_data"}),
        ("2013-10-17", {"meta_data.json", "user_data", "password", "vendor_data.json"}),
        ("2015-10-15", {"meta_data.json", "user_data", "password", "vendor_data.json", "network_data.json"}),
        ("latest", {"meta_data.json", "user_data", "password", "vendor_data.json", "network_data.json",
                    "vendor_data2.json"}),
    ],
)  # fmt: skip
def test_each_version_has_the_files_that_it_brought(version: str, files: set[str]) -> None:
    assert set(text_at(f"/openstack/{version}").splitlines()) == files  # type: ignore[union-attr]
    assert json.loads(text_at(f"/openstack/{version}/meta_data.json") or "")["hostname"] == "web"


def test_vendor_data_are_told_in_both_forms() -> None:
    assert json.loads(text_at("/openstack/latest/vendor_data.json") or "") == {"cloud": "ours"}
    assert json.loads(text_at("/openstack/latest/vendor_data2.json") or "") == {"static": {"cloud": "ours"}}


def test_user_data_are_as_they_were_given_or_not_there() -> None:
    for path in ("/openstack/latest/user_data", "/latest/user-data", "/2009-04-04/user-data"):
        assert text_at(path) == "#!/bin/sh\n"
        assert text_at(path, guest(told=Told())) is None
    assert text_at("/latest/user-data", guest(told=Told(user_data="%%%no base64"))) is None


def test_ec2s_tree() -> None:
    names = (text_at("/latest/meta-data/") or "").splitlines()
    assert {"instance-id", "ami-id", "hostname", "placement/", "public-keys/", "security-groups"} <= set(names)
    assert text_at("/latest/meta-data/instance-id") == WEB.id
    assert text_at("/latest/meta-data/local-ipv4") == "10.0.0.1"
    assert text_at("/latest/meta-data/placement/availability-zone") == "nova"
    assert text_at("/latest/meta-data/security-groups") == "default\nweb"
    assert text_at("/latest/meta-data/public-keys/") == "0=mine"
    assert text_at("/latest/meta-data/public-keys/0/") == "openssh-key"
    assert text_at("/latest/meta-data/public-keys/0/openssh-key") == "ssh-ed25519 AAAA"


@pytest.mark.parametrize(
    "path",
    ["/nonsense", "/openstack/1999-01-01", "/openstack/latest/none", "/openstack/latest/meta_data.json/x",
     "/latest/meta-data/instance-id/x", "/latest/meta-data/public-keys/1", "/latest/x", "/" + "a/" * 1000,
     "/latest/meta-data/../../../etc/passwd"],
)  # fmt: skip
def test_there_is_nothing_else(path: str) -> None:
    assert text_at(path) is None


def test_the_config_drive_has_the_same_files() -> None:
    files = config_drive.files(WEB)
    assert files["openstack/latest/meta_data.json"] == (text_at("/openstack/latest/meta_data.json") or "").encode()
    assert files["openstack/latest/user_data"] == b"#!/bin/sh\n"
    assert json.loads(files["ec2/latest/meta-data.json"])["instance-id"] == WEB.id
    assert "openstack/latest/user_data" not in config_drive.files(guest(told=Told()))
