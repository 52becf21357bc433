"""s3cmd: put, get, ls, del."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.cluster import Cluster


def _s3cmd(cluster: Cluster, *arguments: str) -> str:
    host = urlsplit(cluster.s3_endpoint).netloc
    return cluster.run(
        "s3cmd", "--config=/dev/null", "--no-ssl", f"--host={host}", f"--host-bucket={host}",
        f"--access_key={cluster.env['AWS_ACCESS_KEY_ID']}",
        f"--secret_key={cluster.env['AWS_SECRET_ACCESS_KEY']}", *arguments,
    ).stdout


@pytest.mark.parametrize("options", [(), ("--signature-v2",)])
def test_put_get_ls_del(cluster: Cluster, bucket: str, tmp_path: Path, options: tuple[str, ...]) -> None:
    source, back = tmp_path / "a file.txt", tmp_path / "back"
    source.write_bytes(b"s3cmd " * 1000)
    _s3cmd(cluster, *options, "put", str(source), f"s3://{bucket}/dir/a file.txt")
    assert "dir/a file.txt" in _s3cmd(cluster, *options, "ls", "--recursive", f"s3://{bucket}")
    _s3cmd(cluster, *options, "get", f"s3://{bucket}/dir/a file.txt", str(back))
    assert back.read_bytes() == source.read_bytes()
    _s3cmd(cluster, *options, "del", f"s3://{bucket}/dir/a file.txt")
    assert "a file.txt" not in _s3cmd(cluster, *options, "ls", "--recursive", f"s3://{bucket}")


def test_an_upload_in_parts(cluster: Cluster, bucket: str, tmp_path: Path) -> None:
    source, back = tmp_path / "large", tmp_path / "back"
    source.write_bytes(bytes(range(256)) * (17 << 12))
    _s3cmd(cluster, "put", "--multipart-chunk-size-mb=5", str(source), f"s3://{bucket}/large")
    _s3cmd(cluster, "get", f"s3://{bucket}/large", str(back))
    assert back.read_bytes() == source.read_bytes()
