"""Key pairs: imported, made, of each user its own. Source: Nova's API reference; RFC 4253."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from compute.instances import ssh_keys
from tests.unit.compute.instances.surroundings import ALICES, Surroundings

# `ssh-keygen -t ed25519`, and what `ssh-keygen -l -E md5` says of it
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFkv0IV3TkrAQ/QpOaBuB0Z9sWPsU1hcTaTSUCpUqW1 alice@example"
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBcTCCARegAwIBAgIUQJnyo3cbLQnVYp5ZQ3hQ5l2dRZAwCgYIKoZIzj0EAwIw
-----END CERTIFICATE-----
"""


def public_of(key: Any) -> str:
    encoding, form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return str(key.public_key().public_bytes(encoding, form).decode())


def test_a_key_is_imported_shown_and_deleted(around: Surroundings) -> None:
    made = around.member.post("/os-keypairs", {"keypair": {"name": "k@1.x", "public_key": ED25519}}, 201)["keypair"]
    assert made == {
        "name": "k@1.x",
        "public_key": ED25519,
        "fingerprint": ssh_keys.fingerprint("ssh", ED25519),
        "type": "ssh",
        "user_id": "user-alice",
    }
    shown = around.member.get("/os-keypairs/k@1.x")["keypair"]
    assert {name: shown[name] for name in made} == made
    assert shown["deleted"] is False
    around.member.post("/os-keypairs", {"keypair": {"name": "k@1.x", "public_key": ED25519}}, 409)
    around.member.delete("/os-keypairs/k@1.x")
    around.member.get("/os-keypairs/k@1.x", 404)
    around.member.delete("/os-keypairs/k@1.x", 404)


def test_a_pair_is_made_until_2_91(around: Surroundings) -> None:
    wanted = {"keypair": {"name": "made"}}
    around.member.post("/os-keypairs", wanted, 400)
    made = around.member.speaking(91).post("/os-keypairs", wanted, 201)["keypair"]
    private = serialization.load_pem_private_key(made["private_key"].encode(), None)
    assert made["public_key"].split()[:2] == public_of(private).split()
    assert made["fingerprint"] == ssh_keys.fingerprint("ssh", made["public_key"])
    assert "private_key" not in around.member.get("/os-keypairs/made")["keypair"]


@pytest.mark.parametrize(("minor", "status", "gone"), [(1, 200, 202), (2, 201, 204), (10, 201, 204)])
def test_versions_answer_as_they_did(around: Surroundings, minor: int, status: int, gone: int) -> None:
    client = around.member.speaking(minor)
    made = client.post("/os-keypairs", {"keypair": {"name": "k", "public_key": ED25519}}, status)["keypair"]
    (listed,) = client.get("/os-keypairs")["keypairs"]
    for document in (made, listed["keypair"], client.get("/os-keypairs/k")["keypair"]):
        assert ("type" in document) == (minor >= 2)
    client.post("/os-keypairs", {"keypair": {"name": "a@b", "public_key": ED25519}}, 400)
    client.delete("/os-keypairs/k", gone)


@pytest.mark.parametrize(
    "key",
    [
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(65537, 2048),
    ],
)
def test_kinds_of_keys(around: Surroundings, key: Any) -> None:
    wanted = {"keypair": {"name": "k", "public_key": public_of(key) + " somebody"}}
    made = around.member.post("/os-keypairs", wanted, 201)["keypair"]
    assert len(made["fingerprint"].split(":")) == 16


def test_a_key_in_hardware_is_a_key() -> None:
    """OpenSSH, PROTOCOL.u2f: sk-ssh-ed25519@openssh.com."""
    name = b"sk-ssh-ed25519@openssh.com"
    blob = len(name).to_bytes(4, "big") + name + (32).to_bytes(4, "big") + bytes(32) + (4).to_bytes(4, "big") + b"ssh:"
    text = f"{name.decode()} {base64.b64encode(blob).decode()} me"
    assert len(ssh_keys.fingerprint("ssh", text).split(":")) == 16


@pytest.mark.parametrize(
    "wrong",
    [
        {"public_key": "x"},
        {"public_key": ""},
        {"public_key": "ssh-rsa"},
        {"public_key": "ssh-rsa AAAA"},
        {"public_key": "ssh-ed25519 AAAAB3NzaC1yc2EAAAADAQAB"},
        {"public_key": f"{ED25519}\n{ED25519}"},
        {"public_key": ED25519, "type": "x509"},
        {"public_key": CERTIFICATE, "type": "x509"},
        {"public_key": ED25519, "type": "other"},
        {"public_key": 1},
        {"public_key": ED25519, "name": ""},
        {"public_key": ED25519, "name": " k"},
        {"public_key": ED25519, "name": "k/k"},
        {"public_key": ED25519, "name": "k" * 256},
        {"public_key": ED25519, "other": "x"},
    ],
)
def test_what_is_no_key_pair_is_refused(shared: Surroundings, wrong: dict[str, Any]) -> None:
    shared.member.post("/os-keypairs", {"keypair": {"name": "k", **wrong}}, 400)


def test_a_certificate_is_made_and_imported(around: Surroundings) -> None:
    wanted = {"keypair": {"name": "made", "type": "x509"}}
    made = around.member.speaking(91).post("/os-keypairs", wanted, 201)["keypair"]
    assert len(made["fingerprint"].split(":")) == 20
    bundle = pkcs12.load_pkcs12(base64.b64decode(made["private_key"]), None)
    certificate = x509.load_pem_x509_certificate(made["public_key"].encode())
    assert bundle.cert is not None
    assert bundle.cert.certificate == certificate
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [each.value for each in names] == [b"\x0c\x14user-alice@localhost"]
    wanted = {"keypair": {"name": "imported", "public_key": made["public_key"], "type": "x509"}}
    assert around.member.post("/os-keypairs", wanted, 201)["keypair"]["fingerprint"] == made["fingerprint"]


def test_pages_from_2_35_on(around: Surroundings) -> None:
    for name in "abc":
        around.member.post("/os-keypairs", {"keypair": {"name": name, "public_key": ED25519}}, 201)
    first = around.member.get("/os-keypairs?limit=2")
    assert [each["keypair"]["name"] for each in first["keypairs"]] == ["a", "b"]
    rest = around.member.get(first["keypairs_links"][0]["href"].partition("falconframework.org")[2])
    assert [each["keypair"]["name"] for each in rest["keypairs"]] == ["c"]
    around.member.get("/os-keypairs?marker=x", 400)
    assert len(around.member.speaking(34).get("/os-keypairs?limit=2")["keypairs"]) == 3


def test_key_pairs_are_users_own(around: Surroundings) -> None:
    around.member.post("/os-keypairs", {"keypair": {"name": "k", "public_key": ED25519}}, 201)
    around.stranger.get("/os-keypairs/k", 404)
    around.stranger.get("/os-keypairs/k?user_id=user-alice", 403)
    around.stranger.get("/os-keypairs?user_id=user-alice", 403)
    around.stranger.delete("/os-keypairs/k?user_id=user-alice", 403)
    wanted = {"keypair": {"name": "l", "public_key": ED25519, "user_id": "user-alice"}}
    around.stranger.post("/os-keypairs", wanted, 403)
    around.admin.post("/os-keypairs", wanted, 201)
    assert len(around.admin.get("/os-keypairs?user_id=user-alice")["keypairs"]) == 2
    around.admin.delete("/os-keypairs/l?user_id=user-alice")
    assert len(around.member.get("/os-keypairs")["keypairs"]) == 1
    around.member.speaking(9).post("/os-keypairs", wanted, 400)


def test_a_user_has_so_many(around: Surroundings) -> None:
    around.admin.put(f"/os-quota-sets/{ALICES}", {"quota_set": {"key_pairs": 1}})
    around.member.post("/os-keypairs", {"keypair": {"name": "k", "public_key": ED25519}}, 201)
    refused = around.member.post("/os-keypairs", {"keypair": {"name": "l", "public_key": ED25519}}, 403)
    assert refused["forbidden"]["message"] == "Quota exceeded, too many key pairs."
