"""A cluster with two gateways, TLS and rules: who may come, and volumes that move from gateway to gateway."""

import dataclasses
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.layout import Layout
from tests.cluster import Cluster
from tests.functional.volumes import TIMEOUT_S, volume
from tools import creation

PORT = 10809
# nbdsh, with the Python that its module is installed for, whichever python3 comes first
NBDSH = ("/usr/bin/python3", "-m", "nbd")
RULES = ("shared as alice", "shared as bob read-only", "hidden as nobody", "* as alice")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an authority, a certificate for the gateway, and one each for alice and bob."""
    folder = tmp_path_factory.mktemp("certificates")
    _openssl(folder, "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=authority "
             "-keyout ca-key.pem -out ca-cert.pem")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name, subject in (("server", "localhost"), ("alice", "alice"), ("bob", "bob")):
        _openssl(folder, "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
                 f"-subj /CN={subject} -keyout {name}-key.pem -out {name}.csr")
        _openssl(folder, f"x509 -req -in {name}.csr -CA ca-cert.pem -CAkey ca-key.pem -CAcreateserial -days 2 "
                 f"-extfile names -out {name}-cert.pem")
    for name in ("alice", "bob"):
        client = folder / name
        client.mkdir()
        (client / "ca-cert.pem").symlink_to(folder / "ca-cert.pem")
        for kind in ("cert", "key"):
            (client / f"client-{kind}.pem").symlink_to(folder / f"{name}-{kind}.pem")
    return folder


def _openssl(folder: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("volume-access") / "data", nodes=3)
    cluster.gateways = 2
    made = creation.plan(creation.Wishes(node_count=3, port_offset=cluster.offset, has_identity=False))
    cluster.directory.mkdir(parents=True, mode=0o700)
    block = dataclasses.replace(
        made.block,
        gateways=2,
        allow=RULES,
        tls_certificate=str(folder / "server-cert.pem"),
        tls_key=str(folder / "server-key.pem"),
        tls_client_authority=str(folder / "ca-cert.pem"),
    )
    creation.create(Layout(cluster.directory), dataclasses.replace(made, block=block))
    cluster.up()
    yield cluster
    cluster.holdfast("down", check=False)


def tried(*command: str) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    return done.returncode, done.stdout + done.stderr


def secure(cluster: Cluster, folder: Path, who: str, name: str, gateway: int = 0) -> str:
    return f"nbds://127.0.0.1:{PORT + cluster.offset + gateway}/{name}?tls-certificates={folder / who}"


def local(cluster: Cluster, name: str, gateway: int = 0) -> str:
    return f"nbd+unix:///{name}?socket={Layout(cluster.directory).nbd_socket(gateway)}"


def test_only_who_may_gets_in_and_no_further_than_he_may(cluster: Cluster, folder: Path) -> None:
    for name in ("shared", "hidden", "other"):
        volume(cluster, "create", name, "8M")
    status, said = tried("nbdinfo", "--size", f"nbd://127.0.0.1:{PORT + cluster.offset}/shared")
    assert status, f"without TLS nobody comes in: {said}"
    for who, name in (("alice", "shared"), ("bob", "shared"), ("alice", "other")):
        assert tried("nbdinfo", "--size", secure(cluster, folder, who, name)) == (0, f"{8 << 20}\n")
    for who, name in (("bob", "other"), ("alice", "hidden"), ("bob", "hidden")):
        status, said = tried("nbdinfo", "--size", secure(cluster, folder, who, name))
        assert status, f"{who} has got into {name}: {said}"
    assert tried("nbdinfo", "--is", "read-only", secure(cluster, folder, "bob", "shared"))[0] == 0
    assert tried("nbdinfo", "--is", "read-only", secure(cluster, folder, "alice", "shared"))[0] == 2
    status, said = written(secure(cluster, folder, "bob", "shared"))
    assert status, said
    assert "write: command failed: Operation not permitted" in said
    status, said = written(secure(cluster, folder, "alice", "shared"))
    assert status == 0, said


def written(uri: str) -> tuple[int, str]:
    """Try to write; what the server says of it counts, so the library is to send whatever it is told."""
    lines = ("h.set_uri_allow_local_file(True)", f"h.connect_uri('{uri}')", "h.set_strict_mode(0)")
    return tried(*NBDSH, "-c", "\n".join((*lines, "h.pwrite(b'x' * 512, 0)")))


def test_the_user_who_runs_the_cluster_needs_no_rule_on_this_host(cluster: Cluster) -> None:
    assert tried("nbdinfo", "--size", local(cluster, "hidden"))[0] == 0


def test_a_volume_moves_to_another_gateway_and_back_with_all_that_is_in_it(cluster: Cluster) -> None:
    volume(cluster, "create", "moving", "8M")
    for number in range(4):
        gateway = number % 2
        moved = volume(cluster, "move", "moving", str(gateway))
        assert moved["gateway"] == gateway
        commands = [f"write -P {number + 1} {number}M 1M"]
        commands += [f"read -P {old + 1} {old}M 1M" for old in range(number + 1)]
        options = [option for command in commands for option in ("-c", command)]
        status, said = tried("qemu-io", "-f", "raw", *options, local(cluster, "moving", gateway))
        assert status == 0, said
        assert "failed" not in said, said
        assert volume(cluster, "snapshot", "moving", f"s{number}")["volume"]["layers"] == number + 2
    done = cluster._holdfast(("volume", "move", "moving", "7"), 60)
    assert (done.returncode, "there is no gateway 7" in done.stderr) == (1, True)


def test_a_volume_that_nobody_uses_any_more_is_taken_over(cluster: Cluster) -> None:
    volume(cluster, "create", "wandering", "8M")
    for number in range(3):
        commands = ("-c", f"read -P {number} 0 1M", "-c", f"write -P {number + 1} 0 1M")
        status, said = tried("qemu-io", "-f", "raw", *commands, local(cluster, "wandering", number % 2))
        assert (status, "failed" in said) == (0, False), said
