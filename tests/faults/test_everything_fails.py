"""kill -9 of every process at once, again and again, under load."""

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import Cluster, running
from tests.faults.load import Load

ROUNDS = int(os.environ.get("HOLDFAST_TEST_ROUNDS", "4"))  # 50 take ten minutes: pytest -o timeout=1500
LOAD_S = 1.5
START_LIMIT_S = 30.0  # of a cluster that was not stopped cleanly: 3 s, unless the machine has other things to do


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster that gives up replaced parts early."""
    yield from running(tmp_path_factory.mktemp("cluster") / "data", multipart_grace_s=1.0)


def test_what_was_acknowledged_survives_the_death_of_everything(cluster: Cluster) -> None:
    cluster.s3().create_bucket(Bucket="all-die")
    earlier: Load | None = None
    starts_s = []
    for round_number in range(ROUNDS):
        load = Load(cluster, "all-die")
        if earlier is not None:
            load.go_on_from(earlier)
        with load.running():
            time.sleep(LOAD_S)
            cluster.kill_everything()
        load.failures.clear()  # requests that died with the cluster are in doubt, not wrong
        begin = time.monotonic()
        cluster.up()
        starts_s.append(time.monotonic() - begin)
        load.check_everything()
        assert not load.violations, f"round {round_number}: {load.report()}"
        assert not load.failures, f"round {round_number}: {load.report()}"
        earlier = load
    print(f"started in {min(starts_s):.1f} to {max(starts_s):.1f} s")
    assert min(starts_s) < START_LIMIT_S
    load.check_rows()
    assert not load.violations, load.report()
    _no_temporary_data_is_left(cluster)


def _no_temporary_data_is_left(cluster: Cluster) -> None:
    """Uploads that died are nowhere: neither nameless files nor files that no object refers to."""
    client = cluster.s3()
    _abort_and_replace_uploads(client)
    assert _large_files(cluster), "the test does not see any file"
    names = [item["Key"] for item in client.list_objects_v2(Bucket="all-die").get("Contents", ())]
    for key in names:
        client.delete_object(Bucket="all-die", Key=key)
    deadline = time.monotonic() + 60
    while (left := _large_files(cluster)) and time.monotonic() < deadline:
        time.sleep(1)
    assert not left, f"files that nothing refers to: {left[:5]}"


def _abort_and_replace_uploads(client: Any) -> None:
    """Leave three multipart uploads: aborted, replaced, and deleted."""
    for key in ("aborted", "replaced", "deleted"):
        upload = client.create_multipart_upload(Bucket="all-die", Key=key)["UploadId"]
        about = {"Bucket": "all-die", "Key": key, "UploadId": upload}
        part = client.upload_part(**about, PartNumber=1, Body=bytes(2 << 20))
        if key == "aborted":
            client.abort_multipart_upload(**about)
            continue
        parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
        client.complete_multipart_upload(**about, MultipartUpload={"Parts": parts})
    client.put_object(Bucket="all-die", Key="replaced", Body=b"small")


def _large_files(cluster: Cluster) -> list[str]:
    nodes = cluster.directory / "nodes"
    return [str(path) for path in nodes.glob("*/*/blobs/*/**/*") if path.is_file() and "/index/" not in str(path)]
