"""rclone, by both dialects."""

from pathlib import Path

from tests.cluster import Cluster


def _s3(cluster: Cluster) -> dict[str, str]:
    return {
        "RCLONE_CONFIG_S_TYPE": "s3",
        "RCLONE_CONFIG_S_PROVIDER": "Other",
        "RCLONE_CONFIG_S_ENDPOINT": cluster.s3_endpoint,
        "RCLONE_CONFIG_S_ACCESS_KEY_ID": cluster.env["AWS_ACCESS_KEY_ID"],
        "RCLONE_CONFIG_S_SECRET_ACCESS_KEY": cluster.env["AWS_SECRET_ACCESS_KEY"],
        "RCLONE_CONFIG_S_REGION": cluster.env["AWS_DEFAULT_REGION"],
    }


def _swift(cluster: Cluster) -> dict[str, str]:
    return {
        "RCLONE_CONFIG_S_TYPE": "swift",
        "RCLONE_CONFIG_S_AUTH": cluster.env["ST_AUTH"],
        "RCLONE_CONFIG_S_USER": cluster.env["ST_USER"],
        "RCLONE_CONFIG_S_KEY": cluster.env["ST_KEY"],
    }


def _files(root: Path) -> dict[str, bytes]:
    """Return the files below a directory, by name."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _round_trip(cluster: Cluster, environment: dict[str, str], target: str, tree: Path, back: Path) -> dict[str, bytes]:
    """Send a tree, change it, send it again, and return what comes back."""
    cluster.run("rclone", "sync", str(tree), target, environment=environment)
    cluster.run("rclone", "check", "--download", str(tree), target, environment=environment)
    (tree / "folder 0" / "new").write_bytes(b"later")
    next((tree / "folder 1").iterdir()).unlink()
    cluster.run("rclone", "sync", str(tree), target, environment=environment)
    cluster.run("rclone", "sync", target, str(back), environment=environment)
    cluster.run("rclone", "purge", target, environment=environment)
    return _files(back)


def test_sync_by_s3(cluster: Cluster, bucket: str, tree: Path, tmp_path: Path) -> None:
    found = _round_trip(cluster, _s3(cluster), f"s:{bucket}/deep", tree, tmp_path / "back")
    assert found == _files(tree)


def test_sync_by_swift(cluster: Cluster, bucket: str, tree: Path, tmp_path: Path) -> None:
    found = _round_trip(cluster, _swift(cluster), f"s:swift-{bucket}/deep", tree, tmp_path / "back")
    assert found == _files(tree)
