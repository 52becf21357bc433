"""Clients of NBD that others have made, on the server with volumes in memory: qemu, libnbd, nbdkit, nbd-client, fio."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

MiB = 1 << 20
SIZE = 64 * MiB
TIMEOUT_S = 60
# nbdsh, with the Python that its module is installed for, whichever python3 comes first
NBDSH = ("/usr/bin/python3", "-m", "nbd")


def run(*command: str, expect: int = 0, **options: object) -> str:
    """Run a client; return what it prints. `expect`: its exit status; others fail the test."""
    done = subprocess.run(  # type: ignore[call-overload]
        command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, **options
    )
    assert done.returncode == expect, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return str(done.stdout)


class Served:
    """A server in a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.socket = folder / "nbd.sock"
        self.errors = folder / "stderr"
        command = [sys.executable, "-m", "tests.unit.blockgw.memory_export", str(self.socket), str(SIZE), *options]
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        self.port = int(self._line()["port"])

    def _line(self) -> dict[str, int]:
        assert self.process.stdout is not None
        line: dict[str, int] = json.loads(self.process.stdout.readline())
        return line

    def uri(self, export: str = "memory") -> str:
        return f"nbd+unix:///{export}?socket={self.socket}"

    @property
    def counted(self) -> dict[str, int]:
        """What the server has counted of "memory"."""
        self.process.send_signal(signal.SIGUSR2)
        return self._line()

    def stop(self) -> None:
        """Stop it; see that it has stopped in order, and has not been surprised by anything."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(TIMEOUT_S) == 0
        errors = self.errors.read_text()
        assert "Traceback" not in errors, errors
        assert "level=error" not in errors, errors


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path, "--deferred")
    yield server
    server.stop()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Return a file of SIZE with data here and there, holes between."""
    path = tmp_path / "image.raw"
    chance = random.Random(7)
    with path.open("wb") as file:
        file.truncate(SIZE)
        for index in range(0, SIZE // MiB, 3):
            file.seek(index * MiB + 4096 * chance.randrange(100))
            file.write(chance.randbytes(300_000))
    return path


# qemu


def test_qemu_img_info(served: Served) -> None:
    info = json.loads(run("qemu-img", "info", "--output=json", served.uri()))
    assert info["virtual-size"] == SIZE


def test_qemu_img_convert_there_and_back(served: Served, image: Path, tmp_path: Path) -> None:
    back, qcow2 = tmp_path / "back.raw", tmp_path / "image.qcow2"
    run("qemu-img", "convert", "-O", "qcow2", str(image), str(qcow2))
    run("qemu-img", "convert", "-n", "-O", "raw", str(qcow2), served.uri())
    assert "identical" in run("qemu-img", "compare", "-f", "raw", "-F", "raw", str(image), served.uri())
    run("qemu-img", "convert", "-O", "raw", served.uri(), str(back))
    assert back.read_bytes() == image.read_bytes()
    assert back.stat().st_blocks * 512 < SIZE // 2


def test_qemu_img_map_shows_what_is_allocated(served: Served) -> None:
    run("qemu-io", "-f", "raw", "-c", "write 1M 64k", served.uri())
    extents = json.loads(run("qemu-img", "map", "--output=json", "-f", "raw", served.uri()))
    assert [(extent["start"], extent["length"], extent["zero"]) for extent in extents] == [
        (0, MiB, True),
        (MiB, 65536, False),
        (MiB + 65536, SIZE - MiB - 65536, True),
    ]


def test_qemu_io_patterns(served: Served) -> None:
    commands = (
        "write -P 1 0 64k", "write -P 2 1000 3", "write -f -P 3 64k 4k", "flush", "write -z 128k 64k",
        "write -z -u 192k 64k", "discard 0 4k", "read -P 1 4k 60k", "read -P 3 64k 4k", "read -P 0 128k 128k",
        "aio_write -P 4 1M 2M", "aio_write -P 5 3M 2M", "aio_flush", "read -P 4 1M 2M", "read -P 5 3M 2M",
    )  # fmt: skip
    output = run("qemu-io", "-f", "raw", *(part for command in commands for part in ("-c", command)), served.uri())
    assert "verification failed" not in output
    assert served.counted["fua"] >= 1
    assert served.counted["trim"] == 1


def test_qemu_goes_on_after_its_connections_were_closed(served: Served) -> None:
    """`reconnect-delay`: what was not answered is repeated on a new connection."""
    options = f"driver=raw,file.driver=nbd,file.path={served.socket},file.export=memory,file.reconnect-delay=20"
    client = subprocess.Popen(
        ["qemu-io", "--image-opts", options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert client.stdin is not None
    client.stdin.write("write -P 9 0 1M\n")
    client.stdin.flush()
    _until(lambda: served.counted["write"] > 0)
    served.process.send_signal(signal.SIGUSR1)
    _until(lambda: served.counted["connections"] == 0)
    output, _errors = client.communicate("read -P 9 0 1M\nwrite -P 8 0 1M\nread -P 8 0 1M\n", TIMEOUT_S)
    assert client.returncode == 0
    assert output.count("1 MiB") >= 4
    assert "failed" not in output


def _until(condition: object) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


# libnbd


def test_nbdinfo_shows_what_the_server_can_do(served: Served) -> None:
    info = json.loads(run("nbdinfo", "--json", served.uri()))
    assert info["protocol"] == "newstyle-fixed"
    assert info["structured"] is True
    export = info["exports"][0]
    assert export["export-size"] == SIZE
    assert export["contexts"] == ["base:allocation"]
    assert export["description"] == "a volume in memory"
    assert [export[f"block_size_{size}"] for size in ("minimum", "preferred", "maximum")] == [1, 4096, 32 * MiB]
    for ability in ("multi_conn", "flush", "fua", "trim", "zero", "fast_zero", "df", "cache"):
        assert export[f"can_{ability}"] is True, ability
    assert export["is_read_only"] is False


def test_nbdinfo_lists_exports(served: Served) -> None:
    uri = f"nbd://127.0.0.1:{served.port}"
    listed = json.loads(run("nbdinfo", "--json", "--list", "--no-content", uri))
    assert [export["export-name"] for export in listed["exports"]] == ["memory", "second"]


def test_nbdinfo_is_told_of_an_export_that_is_not_there(served: Served) -> None:
    run("nbdinfo", "--size", served.uri("missing"), expect=1)


def test_nbdcopy_there_and_back_over_several_connections(served: Served, image: Path, tmp_path: Path) -> None:
    back = tmp_path / "back.raw"
    run("nbdcopy", "--connections=4", "--flush", str(image), served.uri())
    run("nbdcopy", "--connections=4", served.uri(), served.uri("second"))
    run("nbdcopy", served.uri("second"), str(back))
    assert back.read_bytes() == image.read_bytes()


EVERYTHING = """
import errno
h.pwrite(b"hello" * 1000, 4096, nbd.CMD_FLAG_FUA)
assert h.pread(5000, 4096) == b"hello" * 1000
h.flush()
h.cache(65536, 0)
h.zero(100, 4096)
h.zero(4096, 8192, nbd.CMD_FLAG_NO_HOLE)
h.trim(65536, 65536)
assert h.pread(105, 4096) == bytes(100) + b"hello"
chunks = []
h.pread_structured(65536, 0, lambda data, offset, status, error: chunks.append((offset, len(data), status)))
assert sorted(chunks) == [(0, 4096, nbd.READ_HOLE), (4096, 8192, nbd.READ_DATA), (12288, 53248, nbd.READ_HOLE)], chunks
chunks.clear()
h.pread_structured(
    65536, 0, lambda data, offset, status, error: chunks.append((offset, len(data), status)), nbd.CMD_FLAG_DF
)
assert chunks == [(0, 65536, nbd.READ_DATA)], chunks
extents = []
h.block_status(65536, 0, lambda context, offset, entries, error: extents.append((context, offset, entries)))
assert extents == [("base:allocation", 0, [4096, 3, 8192, 0, 53248, 3])], extents
h.set_strict_mode(0)
for call, number in (
    (lambda: h.pread(1, h.get_size()), errno.EINVAL),
    (lambda: h.pwrite(b"x", h.get_size()), errno.ENOSPC),
    (lambda: h.trim(1, h.get_size()), errno.EINVAL),
    (lambda: h.pwrite(b"x", 0, 1 << 9), errno.EINVAL),
):
    try:
        call()
        raise SystemExit("was not refused")
    except nbd.Error as error:
        assert error.errnum == number, (error.errnum, number)
assert h.pread(5, 4196) == b"hello"
h.shutdown()
print("all was asked")
"""


def test_nbdsh_calls_everything_there_is(served: Served) -> None:
    assert run(*NBDSH, "--base-allocation", "-u", served.uri(), "-c", EVERYTHING) == "all was asked\n"


def test_nbdsh_without_structured_replies(served: Served) -> None:
    script = (
        "h.set_request_structured_replies(False)\n"
        f"h.connect_uri('{served.uri()}')\n"
        "h.pwrite(b'x' * 70000, 5)\n"
        "assert h.pread(100000, 0) == bytes(5) + b'x' * 70000 + bytes(29995)\n"
        "print(h.get_structured_replies_negotiated())\n"
    )
    assert run(*NBDSH, "-c", script) == "False\n"


# others


def test_nbd_client_lists_exports(served: Served) -> None:
    """Its handshake; to attach a device needs a kernel that has them."""
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    assert "memory" in run("nbd-client", "-l", "127.0.0.1", str(served.port), env=environment)


def test_nbdkit_in_between(served: Served) -> None:
    io = 'qemu-io -f raw -c "write -P 6 1M 1M" -c flush -c "read -P 6 1M 1M" -c "read -P 0 4M 1M" "$uri"'
    assert "verification failed" not in run("nbdkit", "-U", "-", "nbd", f"uri={served.uri()}", "--run", io)
    assert served.counted["flush"] >= 1


@pytest.mark.parametrize("size", ["4k-4k", "512-128k"])
def test_fio_verifies_what_it_has_written(served: Served, tmp_path: Path, size: str) -> None:
    run(
        "fio", "--name=verify", "--ioengine=nbd", f"--uri={served.uri()}", "--rw=randwrite", f"--bsrange={size}",
        "--size=32M", "--iodepth=32", "--verify=crc32c", "--verify_fatal=1", "--fsync=64", "--randseed=1",
        cwd=tmp_path,
    )  # fmt: skip
    assert served.counted["flush"] > 1


def test_garbage_ends_a_connection_and_nothing_else(served: Served) -> None:
    chance = random.Random(3)
    head = b"\0\0\0\3" + b"IHAVEOPT\0\0\0\7\0\0\0\x0c\0\0\0\6memory\0\0"
    for index in range(200):
        with socket.create_connection(("127.0.0.1", served.port), timeout=5) as client:
            client.sendall((head if index % 2 else b"\0\0\0\3") + chance.randbytes(chance.randrange(200)))
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
    assert run("nbdinfo", "--size", served.uri()).strip() == str(SIZE)


# TLS


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an authority, a server's certificate, and alice's, named as qemu and libnbd want it."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        run("openssl", *arguments, cwd=folder)

    openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca-key.pem", "-out", "ca-cert.pem", "-days", "2",
        "-subj", "/CN=authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip
    for role, name, usage in (("server", "localhost", "serverAuth"), ("client", "alice", "clientAuth")):
        openssl(
            "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{role}-key.pem", "-out", f"{role}.csr",
            "-subj", f"/CN={name}",
        )  # fmt: skip
        (folder / "extensions").write_text(
            f"subjectAltName=DNS:{name},IP:127.0.0.1\nextendedKeyUsage={usage}\n"
            "keyUsage=critical,digitalSignature,keyEncipherment\n"
        )
        openssl(
            "x509", "-req", "-in", f"{role}.csr", "-CA", "ca-cert.pem", "-CAkey", "ca-key.pem", "-CAcreateserial",
            "-days", "2", "-extfile", "extensions", "-out", f"{role}-cert.pem",
        )  # fmt: skip
    return folder


@pytest.fixture
def secured(tmp_path: Path, certificates: Path) -> Iterator[Served]:
    server = Served(tmp_path, "--certificates", str(certificates))
    yield server
    server.stop()


def test_libnbd_over_tls(secured: Served, certificates: Path, image: Path, tmp_path: Path) -> None:
    uri = f"nbds://127.0.0.1:{secured.port}/memory?tls-certificates={certificates}"
    back = tmp_path / "back.raw"
    info = json.loads(run("nbdinfo", "--json", uri))
    assert info["TLS"] is True
    assert info["structured"] is True
    run("nbdcopy", str(image), uri)
    run("nbdcopy", uri, str(back))
    assert back.read_bytes() == image.read_bytes()


def test_qemu_over_tls(secured: Served, certificates: Path) -> None:
    output = run(
        "qemu-io", "--object", f"tls-creds-x509,id=tls0,dir={certificates},endpoint=client",
        "-c", "write -P 7 0 1M", "-c", "flush", "-c", "read -P 7 0 1M", "--image-opts",
        f"driver=raw,file.driver=nbd,file.host=127.0.0.1,file.port={secured.port},file.export=memory,file.tls-creds=tls0",
    )  # fmt: skip
    assert "verification failed" not in output


def test_an_export_is_for_whom_a_certificate_names(secured: Served, certificates: Path) -> None:
    assert run("nbdinfo", "--size", f"nbds://127.0.0.1:{secured.port}/fixed?tls-certificates={certificates}")
    run("nbdinfo", "--size", f"nbd://127.0.0.1:{secured.port}/fixed", expect=1)


def test_a_client_without_a_certificate_is_refused(secured: Served, certificates: Path, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (stranger / "ca-cert.pem").write_bytes((certificates / "ca-cert.pem").read_bytes())
    run("nbdinfo", "--size", f"nbds://127.0.0.1:{secured.port}/memory?tls-certificates={stranger}", expect=1)
