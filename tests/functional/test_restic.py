"""restic: init, backup, check, restore."""

import shutil
from pathlib import Path

from tests.cluster import Cluster


def test_a_backup_is_checked_and_restored(cluster: Cluster, bucket: str, tree: Path, tmp_path: Path) -> None:
    restic = shutil.which("restic") or "restic"
    environment = {"RESTIC_PASSWORD": "secret", "RESTIC_CACHE_DIR": str(tmp_path / "cache")}
    repository = f"--repo=s3:{cluster.s3_endpoint}/{bucket}/restic"

    def run(*arguments: str) -> None:
        cluster.run(restic, repository, *arguments, environment=environment)

    run("init")
    run("backup", str(tree))
    (tree / "later").write_bytes(b"changed")
    run("backup", str(tree))
    run("check", "--read-data")
    run("restore", "latest", "--target", str(tmp_path / "restored"))
    restored = tmp_path / "restored" / tree.relative_to("/")
    for path in (path for path in tree.rglob("*") if path.is_file()):
        assert (restored / path.relative_to(tree)).read_bytes() == path.read_bytes()
    run("forget", "--keep-last", "1", "--prune")
