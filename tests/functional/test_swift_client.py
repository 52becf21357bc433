"""The `swift` command of python-swiftclient."""

import os
import uuid
from pathlib import Path

from tests.cluster import Cluster


def test_upload_in_segments_download_stat_and_delete(cluster: Cluster, tmp_path: Path) -> None:
    container = f"swift-{uuid.uuid4().hex[:8]}"
    source = tmp_path / "large"
    source.write_bytes(os.urandom(7_500_000))
    cluster.run("swift", "upload", "--segment-size", "2000000", container, "large", cwd=tmp_path)
    stat = cluster.run("swift", "stat", container, "large").stdout
    assert "7500000" in stat
    cluster.run("swift", "download", container, "large", "--output", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    cluster.run("swift", "delete", container)
    cluster.run("swift", "delete", f"{container}_segments", check=False)
    assert container not in cluster.run("swift", "list").stdout


def test_a_dynamic_large_object(cluster: Cluster, tmp_path: Path) -> None:
    container = f"swift-{uuid.uuid4().hex[:8]}"
    source = tmp_path / "large"
    source.write_bytes(os.urandom(3_000_000))
    cluster.run("swift", "upload", "--use-slo", "--segment-size", "1000000", container, "large", cwd=tmp_path)
    cluster.run("swift", "download", container, "large", "--output", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_a_tree_metadata_and_account_stat(cluster: Cluster, tree: Path) -> None:
    container = f"swift-{uuid.uuid4().hex[:8]}"
    cluster.run("swift", "upload", container, ".", cwd=tree)
    assert len(cluster.run("swift", "list", container).stdout.splitlines()) == 40
    cluster.run("swift", "post", container, "-m", "Colour:blue")
    assert "Meta Colour: blue" in cluster.run("swift", "stat", container).stdout
    assert "Containers:" in cluster.run("swift", "stat").stdout


def test_a_container_is_a_bucket(cluster: Cluster, tmp_path: Path) -> None:
    container = f"shared-{uuid.uuid4().hex[:8]}"
    (tmp_path / "note").write_bytes(b"one namespace")
    cluster.run("swift", "upload", container, "note", cwd=tmp_path)
    assert cluster.s3().get_object(Bucket=container, Key="note")["Body"].read() == b"one namespace"
    cluster.s3().put_object(Bucket=container, Key="other", Body=b"from S3", Metadata={"colour": "red"})
    assert "Meta Colour: red" in cluster.run("swift", "stat", container, "other").stdout
