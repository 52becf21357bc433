"""The identity service of a cluster: what it makes counts for S3 and Swift, and its outage stops nobody.

A cluster of its own, with the service; users by openstacksdk, S3 by boto3, Swift by swiftclient.
"""

import os
import signal
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import openstack
import pytest
import swiftclient
from botocore.exceptions import ClientError
from openstack.connection import Connection

from cluster.layout import Layout
from cluster.supervision import control
from tests.cluster import Cluster

NOTICED_S = 5.0  # what is revoked is refused everywhere within this time
START_S = 30.0
PASSWORD = "open sesame"
EVERY_WORKER = 12  # answers in a row that are enough to have met every worker


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("identity") / "data", with_identity=True).without_compute()
    made.up()
    try:
        yield made
    finally:
        made.holdfast("down", check=False)


@pytest.fixture(scope="module")
def admin(cluster: Cluster) -> Connection:
    """Return the administrator, as clouds.yaml has it."""
    layout = Layout(cluster.directory)
    config = openstack.config.OpenStackConfig(config_files=[str(layout.clouds)], load_envvars=False)
    return Connection(config=config.get_one("holdfast"))


@dataclass
class Person:
    """A user with a role in a project, and what its clients take."""

    cluster: Cluster
    user: Any
    project: Any
    connection: Connection
    key: dict[str, str]

    @property
    def s3(self) -> Any:
        """Return a new client: its connections may be to another worker."""
        return self.cluster.s3(self.key, retries={"max_attempts": 0})

    @property
    def url(self) -> str:
        """Return where Swift has the account of the project, as the catalog says."""
        return str(self.connection.session.get_endpoint(service_type="object-store", interface="public"))

    def swift(self, token: str) -> Any:
        """Return a client of the project's account with a token; it does not log in again."""
        return swiftclient.Connection(preauthurl=self.url, preauthtoken=token, retries=0)

    def log_in(self) -> str:
        """Return a new token."""
        self.connection.session.invalidate()
        return str(self.connection.session.get_token())


def connection_of(admin: Connection, name: str, project: str) -> Connection:
    auth = {
        "auth_url": admin.config.config["auth"]["auth_url"],
        "username": name,
        "password": PASSWORD,
        "project_name": project,
        "user_domain_id": "default",
        "project_domain_id": "default",
    }
    return Connection(auth=auth, region_name="RegionOne", identity_api_version="3")


@pytest.fixture
def make(cluster: Cluster, admin: Connection) -> Callable[..., Person]:
    """Return what makes a user in a project of its own, or in that of somebody else, with an EC2 key for it."""
    people: Any = admin.identity  # typed as that of any version of the API

    def make(role: str = "member", project: Any = None) -> Person:
        name = f"user-{uuid.uuid4().hex[:8]}"
        project = project or people.create_project(name=f"project-{name}", domain_id="default")
        user = people.create_user(name=name, password=PASSWORD, domain_id="default")
        people.assign_project_role_to_user(project, user, people.find_role(role))
        connection = connection_of(admin, name, project.name)
        path = f"/users/{user.id}/credentials/OS-EC2"
        made = connection.identity.post(path, json={"tenant_id": project.id}).json()["credential"]
        key = {"access_key": made["access"], "secret_key": made["secret"]}
        return Person(cluster, user, project, connection, key)

    return make


def refused(call: Callable[..., Any], *arguments: Any, **named: Any) -> str:
    """Return the status with which a request is refused; "" if it is not."""
    try:
        call(*arguments, **named)
    except ClientError as error:
        return str(error.response["ResponseMetadata"]["HTTPStatusCode"])
    except swiftclient.ClientException as error:
        return str(error.http_status)
    return ""


def await_refused(status: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    """Return once every worker refuses a request, which must be within NOTICED_S."""
    deadline = time.monotonic() + NOTICED_S
    in_a_row = 0
    while in_a_row < EVERY_WORKER:
        in_a_row = in_a_row + 1 if refused(call, *arguments, **named) == status else 0
        assert in_a_row or time.monotonic() < deadline, "not noticed in time"


def test_s3_by_a_key_and_swift_by_a_token_see_the_same(make: Callable[..., Person]) -> None:
    ann = make()
    bucket = f"bucket-{ann.user.name}"
    ann.s3.create_bucket(Bucket=bucket)
    ann.s3.put_object(Bucket=bucket, Key="k", Body=b"by S3")
    swift = ann.swift(ann.log_in())
    assert swift.get_object(bucket, "k")[1] == b"by S3"
    swift.put_object(bucket, "l", b"by Swift")
    assert ann.s3.get_object(Bucket=bucket, Key="l")["Body"].read() == b"by Swift"
    assert [each["name"] for each in swift.get_account()[1]] == [bucket]


def test_others_are_kept_out_but_for_readers_and_lists(make: Callable[..., Person]) -> None:
    ann, bob = make(), make()
    bucket = f"bucket-{ann.user.name}"
    own = ann.swift(ann.log_in())
    own.put_container(bucket)
    own.put_object(bucket, "k", b"private")
    stranger = swiftclient.Connection(preauthurl=ann.url, preauthtoken=bob.log_in(), retries=0)
    assert refused(stranger.get_object, bucket, "k") == "403"
    assert refused(bob.s3.get_object, Bucket=bucket, Key="k") == "403"
    own.post_container(bucket, {"X-Container-Read": f"{bob.project.id}:{bob.user.id}"})
    assert stranger.get_object(bucket, "k")[1] == b"private"
    assert refused(stranger.put_object, bucket, "k", b"x") == "403"
    reader = make("reader", ann.project)
    assert reader.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"private"
    assert refused(reader.s3.put_object, Bucket=bucket, Key="k", Body=b"x") == "403"
    assert refused(reader.swift(reader.log_in()).delete_object, bucket, "k") == "403"


def test_what_is_revoked_is_refused_everywhere_soon(make: Callable[..., Person], admin: Connection) -> None:
    ann, bob = make(), make()
    token, other = ann.log_in(), bob.log_in()
    head_account = swiftclient.client.head_account  # each call is a connection of its own, to any worker
    head_account(ann.url, token)
    admin.identity.delete("/auth/tokens", headers={"X-Subject-Token": token})
    await_refused("401", head_account, ann.url, token)
    subject = {"X-Subject-Token": token}
    assert admin.identity.get("/auth/tokens", headers=subject, raise_exc=False).status_code == 404
    head_account(bob.url, other)
    bob.s3.list_buckets()
    admin.identity.update_user(bob.user, is_enabled=False)
    await_refused("401", head_account, bob.url, other)
    await_refused("403", lambda: bob.s3.list_buckets())


def test_a_key_that_is_deleted_signs_nothing_any_more(make: Callable[..., Person]) -> None:
    ann = make()
    ann.s3.list_buckets()
    ann.connection.identity.delete(f"/users/{ann.user.id}/credentials/OS-EC2/{ann.key['access_key']}")
    await_refused("403", lambda: ann.s3.list_buckets())


def test_while_the_service_is_down_tokens_and_keys_go_on(make: Callable[..., Person], cluster: Cluster) -> None:
    ann = make()
    known, unknown = ann.log_in(), ann.log_in()
    clients = [ann.swift(known), ann.swift(unknown)]
    clients[0].get_account()
    bucket = f"bucket-{ann.user.name}"
    s3 = ann.s3
    layout = Layout(cluster.directory)
    control.ask(layout.control_socket, "stop", names=["identity"])
    await_state(cluster, "stopped")
    try:
        assert cluster.status()["state"] == "degraded"
        s3.create_bucket(Bucket=bucket)  # the first request of this key
        for _ in range(EVERY_WORKER):
            s3.list_buckets()
            for client in clients:
                client.get_container(bucket)
    finally:
        control.ask(layout.control_socket, "start", names=["identity"])
        await_state(cluster, "up")
    assert cluster.status()["services"][0]["state"] == "up"
    ann.swift(ann.log_in()).get_container(bucket)


def test_it_comes_back_after_a_kill(make: Callable[..., Person], cluster: Cluster) -> None:
    ann = make()
    token = ann.log_in()
    pid = cluster.processes()["identity"]
    Layout(cluster.directory).ready("identity").unlink()
    os.kill(pid, signal.SIGKILL)
    await_state(cluster, "up")
    assert cluster.processes()["identity"] != pid
    ann.swift(token).get_account()
    ann.swift(ann.log_in()).get_account()


def test_the_password_is_nowhere_but_in_private_files(cluster: Cluster) -> None:
    layout = Layout(cluster.directory)
    password = layout.admin_password.read_text().strip()
    assert cluster.env["OS_PASSWORD"] == password
    for path in (layout.admin_password, layout.clouds, layout.openrc, layout.environment, layout.identity_database):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for log in layout.logs.iterdir():
        assert password not in log.read_text()


def await_state(cluster: Cluster, state: str) -> None:
    """Return once the service is up, or stopped."""
    deadline = time.monotonic() + START_S
    while cluster.status()["services"][0]["state"] != state:
        assert time.monotonic() < deadline, f"the identity service is not {state}"
        time.sleep(0.05)
