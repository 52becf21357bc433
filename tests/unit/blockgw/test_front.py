"""blockgw.front: rules as people write them, and who gets to the port when there are none."""

import asyncio
import subprocess
from ipaddress import ip_network
from pathlib import Path

import pytest

from blockgw.front import parse_rule, rules_of, security_of
from blockgw.interfaces import Client
from blockgw.nbd.access import Guarded, Rule
from blockgw.nbd.server import PLAIN
from cluster.config import LOOPBACK, BlockConfig
from cluster.errors import ConfigError
from tests.unit.blockgw.memory_export import MemoryExport, MemoryExports


def test_a_rule_says_who_may_open_what_and_how() -> None:
    assert parse_rule("*") == Rule("*")
    text = "backup-* from 10.0.0.0/8,fe80::/10 as alice,bob tls read-only"
    networks = (ip_network("10.0.0.0/8"), ip_network("fe80::/10"))
    assert parse_rule(text) == Rule("backup-*", networks, frozenset({"alice", "bob"}), True, True)


def test_volumes_of_services_take_a_grant_unless_rules_say_otherwise() -> None:
    volume_id = "0f8fad5b-d9cb-469f-a165-70867728950e"
    named = ("disk", "volume-1", f"volume-{volume_id}", f"volume-{volume_id}-old", f"server-{volume_id}-swap")

    async def listed() -> list[str]:
        exports = MemoryExports(*(MemoryExport(name, 4096) for name in named))
        return sorted(Guarded(exports, rules_of(BlockConfig())).list(Client("127.0.0.1")))

    assert asyncio.run(listed()) == ["disk", f"volume-{volume_id}-old", "volume-1"]
    assert parse_rule("* granted") == Rule("*", grant_required=True)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "begins with a pattern"),
        ("* form 10.0.0.0/8", "'form' is none of"),
        ("* from", "followed by a list"),
        ("* as ,", "followed by a list"),
        ("* from 10.0.0.1/8", "host bits"),
    ],
)
def test_what_is_no_rule_is_refused_with_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_rule(text)


def test_the_port_is_open_to_others_only_when_it_is_said_who_may_come() -> None:
    assert rules_of(BlockConfig())[-1] == Rule()
    assert BlockConfig().address("0.0.0.0") == LOOPBACK
    assert BlockConfig(tls_certificate="c", tls_key="k").address("10.0.0.1") == LOOPBACK
    for block in (
        BlockConfig(allow=("*",)),
        BlockConfig(tls_certificate="c", tls_key="k", tls_client_authority="a"),
        BlockConfig(tls_psk_file="keys"),
    ):
        assert block.address("10.0.0.1") == "10.0.0.1"


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        (BlockConfig(tls_certificate="cert.pem"), "belong together"),
        (BlockConfig(tls_client_authority="ca.pem"), "needs tls_certificate"),
        (BlockConfig(tls_certificate="c", tls_key="k", tls_psk_file="keys"), "choose one"),
        (BlockConfig(tls_certificate="missing.pem", tls_key="missing.pem"), "cannot be had"),
        (BlockConfig(tls_psk_file="missing"), "cannot be had"),
    ],
)
def test_settings_of_tls_that_make_no_sense_are_refused(tmp_path: Path, block: BlockConfig, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        security_of(block, tmp_path)


def test_with_a_certificate_the_port_takes_tls_only(tmp_path: Path) -> None:
    assert security_of(BlockConfig(), tmp_path) is PLAIN
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=gateway", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True, timeout=60,
    )
    found = security_of(BlockConfig(tls_certificate="cert.pem", tls_key="key.pem"), tmp_path)
    assert found.tls_required
    assert found.tls is not None
