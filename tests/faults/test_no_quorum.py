"""Two of three primaries are down: writes are refused at once and leave nothing; reads are not guessed."""

import signal
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.cluster import Cluster

REFUSAL_LIMIT_S = 3.0  # some hundredths, unless the machine has other things to do; who waits for a deadline takes 5 s
PAUSE_LIMIT_S = 4.0  # of a request in the middle of which nodes stop without a word
NOTICE_S = 3.5  # in which they are found dead although nobody asks them

pytestmark = pytest.mark.alone  # it measures


def _refused_in(request: Any, **arguments: Any) -> float:
    """Make a request that must be answered 503; return how long that took."""
    begin = time.monotonic()
    with pytest.raises(ClientError) as refused:
        request(**arguments)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    return time.monotonic() - begin


def _is_absent(client: Any, bucket: str, key: str) -> bool:
    with pytest.raises(ClientError) as absent:
        client.get_object(Bucket=bucket, Key=key)
    return bool(absent.value.response["Error"]["Code"] == "NoSuchKey")


def test_writes_are_refused_at_once_and_leave_nothing_visible(cluster: Cluster) -> None:
    once = cluster.s3(retries={"max_attempts": 1, "mode": "standard"})
    once.create_bucket(Bucket="no-quorum")
    once.put_object(Bucket="no-quorum", Key="before", Body=b"before")
    for node in (0, 1, 2):
        cluster.holdfast("node", "stop", str(node))
    for key, body in (("small", b"x"), ("large", bytes(3 << 20)), ("before", b"after")):
        assert _refused_in(once.put_object, Bucket="no-quorum", Key=key, Body=body) < REFUSAL_LIMIT_S
    assert _refused_in(once.get_object, Bucket="no-quorum", Key="before") < REFUSAL_LIMIT_S
    assert _refused_in(once.list_objects_v2, Bucket="no-quorum") < REFUSAL_LIMIT_S
    assert _refused_in(once.create_bucket, Bucket="no-quorum-2") < REFUSAL_LIMIT_S
    for node in (0, 1, 2):
        cluster.holdfast("node", "start", str(node))
    patient = cluster.s3(retries={"max_attempts": 8})
    assert patient.get_object(Bucket="no-quorum", Key="before")["Body"].read() == b"before"
    listed = patient.list_objects_v2(Bucket="no-quorum")["Contents"]
    assert [item["Key"] for item in listed] == ["before"]
    assert _is_absent(patient, "no-quorum", "small")
    assert _is_absent(patient, "no-quorum", "large")


def test_stopped_nodes_hold_nobody_up_and_all_goes_on_when_they_do(cluster: Cluster) -> None:
    once = cluster.s3(retries={"max_attempts": 1, "mode": "standard"})
    once.create_bucket(Bucket="halted")
    once.put_object(Bucket="halted", Key="before", Body=b"before")
    for node in (0, 1, 2):
        cluster.signal_storage(node, signal.SIGSTOP)
    try:
        assert _refused_in(once.put_object, Bucket="halted", Key="small", Body=b"first") < PAUSE_LIMIT_S
        time.sleep(NOTICE_S)
        for key, body in (("small", b"x"), ("large", bytes(3 << 20)), ("before", b"after")):
            assert _refused_in(once.put_object, Bucket="halted", Key=key, Body=body) < REFUSAL_LIMIT_S
        assert _refused_in(once.get_object, Bucket="halted", Key="before") < REFUSAL_LIMIT_S
    finally:
        for node in (0, 1, 2):
            cluster.signal_storage(node, signal.SIGCONT)
    cluster.await_connected()
    assert once.get_object(Bucket="halted", Key="before")["Body"].read() == b"before"
    assert _is_absent(once, "halted", "large")
    once.put_object(Bucket="halted", Key="small", Body=b"again")
    assert once.get_object(Bucket="halted", Key="small")["Body"].read() == b"again"
    assert [item["Key"] for item in once.list_objects_v2(Bucket="halted")["Contents"]] == ["before", "small"]
