"""The AWS command line, as its users run it."""

import filecmp
import os
from pathlib import Path

from tests.cluster import Cluster

# bytes; in parts of 8 MiB both ways. HOLDFAST_TEST_LARGE=1 takes a whole GiB
LARGE = (1 << 30) if os.environ.get("HOLDFAST_TEST_LARGE") else (96 << 20) + 12_345
SMALL_FILES = 2000


def test_a_large_file_goes_up_and_down_in_parts(cluster: Cluster, bucket: str, tmp_path: Path) -> None:
    source, back = tmp_path / "large", tmp_path / "back"
    block = os.urandom(1 << 20)
    with source.open("wb") as file:
        for index in range(LARGE >> 20):
            file.write(index.to_bytes(4, "big") + block[4:])
        file.write(block[: LARGE & ((1 << 20) - 1)])
    cluster.run("aws", "s3", "cp", str(source), f"s3://{bucket}/large")
    etag = cluster.s3().head_object(Bucket=bucket, Key="large")["ETag"]
    assert "-" in etag, "the upload was not in parts"
    cluster.run("aws", "s3", "cp", f"s3://{bucket}/large", str(back))
    assert filecmp.cmp(source, back, shallow=False)


def test_a_tree_of_small_files_is_synchronised(cluster: Cluster, bucket: str, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    for index in range(SMALL_FILES):
        path = source / f"d{index % 20}" / f"f{index}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(index % 3000))
    cluster.run("aws", "s3", "sync", str(source), f"s3://{bucket}/tree", "--only-show-errors")
    again = cluster.run("aws", "s3", "sync", str(source), f"s3://{bucket}/tree")
    assert "upload" not in again.stdout, "an unchanged tree was uploaded again"
    cluster.run("aws", "s3", "sync", f"s3://{bucket}/tree", str(back), "--only-show-errors")
    names = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(back) for path in back.rglob("*") if path.is_file())
    match, mismatch, errors = filecmp.cmpfiles(source, back, [str(name) for name in names], shallow=False)
    assert (len(match), mismatch, errors) == (SMALL_FILES, [], [])


def test_listing_and_removing(cluster: Cluster, bucket: str, tree: Path) -> None:
    cluster.run("aws", "s3", "cp", "--recursive", str(tree), f"s3://{bucket}/")
    listed = cluster.run("aws", "s3", "ls", "--recursive", f"s3://{bucket}/").stdout.splitlines()
    assert len(listed) == 40
    cluster.run("aws", "s3", "rb", "--force", f"s3://{bucket}")
    assert bucket not in cluster.run("aws", "s3", "ls").stdout
