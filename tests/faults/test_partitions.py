"""The network between nodes is cut for real: each side serves what it has a quorum of, and nobody sees the past.

Clients work on both sides. What they may see is the same as always (load): a side without a quorum of a name says so,
and does not answer from what it happens to have.
"""

import os
import time

import pytest
from botocore.exceptions import ClientError

from tests.cluster import NetworkedCluster
from tests.faults.load import Load
from tests.faults.replicas import await_right

LONG = os.environ.get("HOLDFAST_TEST_LONG", "") not in ("", "0")
CUT_S, WHOLE_S = (20.0, 10.0) if LONG else (3.0, 2.0)
NOTICE_S = 3.5  # in which each side has found out
ANSWER_LIMIT_S = 15.0  # of any request, the SDK's tries included: generous, for nobody may wait for the network
SIDES = (("0", "1"), ("0",), ("0", "2"), ("3",))[: 4 if LONG else 2]  # of four nodes; proxies are on 0 and 3

pytestmark = pytest.mark.alone  # it measures


def test_reads_and_writes_stay_linearizable_on_both_sides_of_cuts(networked: NetworkedCluster) -> None:
    networked.s3().create_bucket(Bucket="cuts")
    load = Load(networked, "cuts", writers=4, readers=2)
    with load.running():
        for side in SIDES:
            time.sleep(WHOLE_S)
            networked.network.cut(side)
            time.sleep(CUT_S)
            networked.network.join()
        time.sleep(WHOLE_S)
    networked.await_connected(60)
    load.check_everything()
    load.check_rows()
    print(load.report())
    assert not load.violations, load.report()
    assert load.slowest_s < ANSWER_LIMIT_S, load.report()
    await_right(networked)


def test_who_is_cut_off_refuses_and_the_others_go_on(networked: NetworkedCluster) -> None:
    """A node alone has no quorum of anything; the others have one of everything."""
    networked.await_connected(60)
    alone, others = (
        networked.s3(endpoint=endpoint, retries={"total_max_attempts": 1}) for endpoint in networked.endpoints
    )
    alone.create_bucket(Bucket="alone")
    alone.put_object(Bucket="alone", Key="k", Body=b"before")
    networked.network.cut(("0",))
    try:
        time.sleep(NOTICE_S)
        for request in (
            lambda: alone.get_object(Bucket="alone", Key="k"),
            lambda: alone.put_object(Bucket="alone", Key="k", Body=b"never"),
            lambda: alone.list_objects_v2(Bucket="alone"),
        ):
            with pytest.raises(ClientError) as refused:
                request()
            assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        for index in range(20):
            others.put_object(Bucket="alone", Key=f"k{index}", Body=b"meanwhile")
        others.put_object(Bucket="alone", Key="k", Body=b"after")
    finally:
        networked.network.join()
    networked.await_connected(60)
    assert alone.get_object(Bucket="alone", Key="k")["Body"].read() == b"after"
    assert len(alone.list_objects_v2(Bucket="alone")["Contents"]) == 21
    await_right(networked)
