"""Nobody reads, changes or learns of what is another project's, by S3 or Swift: every role, scope and operation.

What is refused is refused alike whether it is there or not. (That a bucket is there can be seen from outside: names of
buckets are one for all accounts.) Of images and volumes a sample, on processes: all operations on them are tried in
tests/unit/compute. Then tokens and keys that ended: refused everywhere within five seconds.
"""

import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from cluster.config import load
from cluster.config.services import IDENTITY, IMAGES, VOLUMES
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from identity.keystone.tokens.fernet import encode
from identity.keystone.tokens.following import Following
from identity.keystone.tokens.token import Method, Person, Role, Scope, ScopeKind, Token
from tests.cluster import Cluster

NOTICED_S = 5.0
PASSWORD = "open sesame"
WAIT_S = 20
READ_ROLES, WRITE_ROLES = {"reader", "member", "manager", "admin"}, {"member", "manager", "admin"}
ROLES = ("none", "service", "reader", "member", "manager", "admin")
BODY = b"private"


@dataclass(frozen=True, slots=True)
class Place:
    """A project with a container, an object in it, and a key of its owner."""

    domain: str
    project: str
    container: str
    url: str  # of its account
    owner_token: str
    owner_key: dict[str, str]


class World:
    """A cluster with two projects in two domains."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        layout = Layout(cluster.directory)
        self.url = IDENTITY.api_url(load(layout.config))
        self.admin = ""
        password = layout.admin_password.read_text().strip()
        user = {"name": "admin", "domain": {"id": "default"}, "password": password}
        self.admin = self.login(user, {"project": {"name": "admin", "domain": {"id": "default"}}})
        found = self.ask("GET", "/roles")["roles"]
        self.roles = {role["name"]: role["id"] for role in found}
        config = load(layout.config)
        self.images, self.volumes = f"{IMAGES.api_url(config)}/v2", VOLUMES.api_url(config)
        self.swift = f"{cluster.env['ST_AUTH'].removesuffix('/auth/v1.0')}/v1/AUTH_"
        self.own, self.foreign = self._place(), self._place()

    def ask(self, method: str, path: str, document: Any = None, token: str = "", **headers: str) -> Any:
        """Return the document of an answer of the identity service, as the administrator."""
        sent = {"X-Auth-Token": token or self.admin, **headers}
        answer = requests.request(method, self.url + path, json=document, headers=sent, timeout=WAIT_S)
        assert answer.ok, answer.text
        return answer.json() if answer.content else {}

    def login(self, user: Any, scope: Any) -> str:
        """Return a token."""
        identity = {"methods": ["password"], "password": {"user": user}}
        document = {"auth": {"identity": identity, **({"scope": scope} if scope else {})}}
        answer = requests.post(f"{self.url}/auth/tokens", json=document, timeout=WAIT_S)
        assert answer.status_code == 201, answer.text
        return answer.headers["X-Subject-Token"]

    def make(self, kind: str, **attributes: Any) -> str:
        """Return the id of what was made."""
        document = {"name": f"{kind}-{uuid.uuid4().hex[:10]}", **attributes}
        return str(self.ask("POST", f"/{kind}s", {kind: document})[kind]["id"])

    def user(self, place_of: str, role: str, domain: str) -> str:
        """Return a new user with a role at /projects/…, /domains/… or /system."""
        user = self.make("user", domain_id=domain, password=PASSWORD)
        if role != "none":
            self.ask("PUT", f"{place_of}/users/{user}/roles/{self.roles[role]}")
        return user

    def key(self, user: str, project: str) -> dict[str, str]:
        """Return a key for S3, made by the administrator."""
        made = self.ask("POST", f"/users/{user}/credentials/OS-EC2", {"tenant_id": project})["credential"]
        return {"access_key": made["access"], "secret_key": made["secret"]}

    def _place(self) -> Place:
        domain = self.make("domain")
        project = self.make("project", domain_id=domain)
        user = self.user(f"/projects/{project}", "member", domain)
        token = self.login({"id": user, "password": PASSWORD}, {"project": {"id": project}})
        container, url = f"container-{uuid.uuid4().hex[:10]}", self.swift + project
        place = Place(domain, project, container, url, token, self.key(user, project))
        self.restore(place)
        deadline = time.monotonic() + WAIT_S
        while not self._account_knows(place):
            assert time.monotonic() < deadline, "the account does not hear of what is in its container"
            time.sleep(0.1)
        return place

    def restore(self, place: Place) -> None:
        """Make the place as it was."""
        headers = {"X-Auth-Token": place.owner_token}
        for path, body in ((place.container, None), (f"{place.container}/there", BODY)):
            answer = requests.put(f"{place.url}/{path}", data=body, headers=headers, timeout=WAIT_S)
            assert answer.ok, answer.text

    def _account_knows(self, place: Place) -> bool:
        """Tell whether the account's listing, which follows its containers, counts what is in there."""
        headers = {"X-Auth-Token": place.owner_token}
        listed = requests.get(f"{place.url}?format=json", headers=headers, timeout=WAIT_S).json()
        return {each["name"]: (each["count"], each["bytes"]) for each in listed}.get(place.container) == (1, len(BODY))

    def state(self, place: Place) -> Any:
        """Return what the owner sees there."""
        headers = {"X-Auth-Token": place.owner_token}
        seen = [
            requests.get(f"{place.url}{path}", headers=headers, timeout=WAIT_S)
            for path in ("?format=json", f"/{place.container}?format=json", f"/{place.container}/there")
        ]
        meta = {name: value for name, value in seen[1].headers.items() if name.startswith("X-Container-")}
        return [each.text for each in seen], meta


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    cluster = Cluster(tmp_path_factory.mktemp("isolation") / "data", with_identity=True)
    cluster.up()
    try:
        yield World(cluster)
    finally:
        cluster.holdfast("down", check=False)


S3_OPERATIONS: dict[str, tuple[bool, Callable[[Any, str, str], Any]]] = {  # whether it writes
    "list_objects": (False, lambda s3, bucket, _key: s3.list_objects_v2(Bucket=bucket)),
    "list_uploads": (False, lambda s3, bucket, _key: s3.list_multipart_uploads(Bucket=bucket)),
    "head_bucket": (False, lambda s3, bucket, _key: s3.head_bucket(Bucket=bucket)),
    "get_location": (False, lambda s3, bucket, _key: s3.get_bucket_location(Bucket=bucket)),
    "get_object": (False, lambda s3, bucket, key: s3.get_object(Bucket=bucket, Key=key)["Body"].read()),
    "head_object": (False, lambda s3, bucket, key: s3.head_object(Bucket=bucket, Key=key)),
    "put_object": (True, lambda s3, bucket, key: s3.put_object(Bucket=bucket, Key=key, Body=b"x")),
    "copy_within": (
        True,
        lambda s3, bucket, key: s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/{key}"),
    ),
    "begin_upload": (True, lambda s3, bucket, key: s3.create_multipart_upload(Bucket=bucket, Key=key)),
    "delete_object": (True, lambda s3, bucket, key: s3.delete_object(Bucket=bucket, Key=key)),
    "delete_bucket": (True, lambda s3, bucket, _key: s3.delete_bucket(Bucket=bucket)),
}


def s3_answer(call: Callable[..., Any], *arguments: Any) -> str:
    """Return the code of a refusal, or ""."""
    try:
        call(*arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def s3_client(world: World, key: dict[str, str] | None) -> Any:
    client = world.cluster.s3(key, retries={"max_attempts": 0})
    if key is None:
        client = world.cluster.s3(None, signature_version=UNSIGNED)
    assert isinstance(client.meta.config, Config)
    return client


@pytest.mark.parametrize("role", [*ROLES, "anonymous"])
def test_s3_keeps_projects_apart(world: World, role: str) -> None:
    keys = None
    if role != "anonymous":
        user = world.user(f"/projects/{world.own.project}", role, world.own.domain)
        keys = world.key(user, world.own.project)
    s3, before = s3_client(world, keys), world.state(world.foreign)
    wrong = []
    for name, (_writes, call) in S3_OPERATIONS.items():
        bucket = world.foreign.container
        there, missing = (s3_answer(call, s3, bucket, key) for key in ("there", "missing"))
        if not there or there != missing:
            wrong.append(f"{name}: {there!r}, and of what is missing {missing!r}")
    source = {"Bucket": world.foreign.container, "Key": "there"}
    if not s3_answer(lambda: s3.copy_object(Bucket=world.own.container, Key="stolen", CopySource=source)):
        wrong.append("copies from a stranger")
    assert wrong == []
    assert world.state(world.foreign) == before
    if role in READ_ROLES:
        assert {each["Name"] for each in s3.list_buckets()["Buckets"]} == {world.own.container}


@pytest.mark.parametrize("role", ROLES)
def test_in_its_own_project_a_role_may_what_it_says_by_s3(world: World, role: str) -> None:
    user = world.user(f"/projects/{world.own.project}", role, world.own.domain)
    s3, wrong = s3_client(world, world.key(user, world.own.project)), []
    for name, (writes, call) in S3_OPERATIONS.items():
        if name == "delete_bucket":  # it is not empty
            continue
        world.restore(world.own)
        may = role in (WRITE_ROLES if writes else READ_ROLES)
        answer = s3_answer(call, s3, world.own.container, "there")
        if may != (answer == ""):
            wrong.append(f"{name}: {answer!r}")
    assert wrong == []


SWIFT_OPERATIONS = (  # method, path below the account, whether it writes
    *itertools.product(("GET", "HEAD"), ("", "/{container}", "/{container}/{object}"), (False,)),
    *itertools.product(("POST",), ("", "/{container}", "/{container}/{object}"), (True,)),
    *itertools.product(("PUT", "DELETE"), ("/{container}/{object}", "/{container}", "/{container}/new"), (True,)),
    ("PUT", "/new-{container}", True),
    ("COPY", "/{container}/{object}", True),
)
SCOPES = ("a project", "a domain", "the system", "nothing")


def swift_answer(world: World, token: str, method: str, url: str) -> tuple[int, str]:
    """Return status and body of an answer."""
    headers = {"X-Auth-Token": token, "Destination": f"/{world.own.container}/stolen", "X-Object-Meta-A": "b"}
    headers |= {"X-Container-Read": ".r:*", "X-Account-Meta-A": "b"} if method == "POST" else {}
    answer = requests.request(method, url, headers=headers, timeout=WAIT_S)
    return answer.status_code, "" if answer.status_code < 400 else answer.text


def swift_token(world: World, role: str, scope: str) -> str:
    """Return a token of somebody of the domain of `own`."""
    own = world.own
    places = {"a project": f"/projects/{own.project}", "a domain": f"/domains/{own.domain}", "the system": "/system"}
    scopes = {
        "a project": {"project": {"id": own.project}},
        "a domain": {"domain": {"id": own.domain}},
        "the system": {"system": {"all": True}},
        "nothing": None,
    }
    user = world.user(places.get(scope, ""), "none" if scope == "nothing" else role, own.domain)
    return world.login({"id": user, "password": PASSWORD}, scopes[scope])


@pytest.mark.parametrize(
    ("role", "scope"), [("none", "nothing"), *itertools.product(ROLES[1:], SCOPES[:-1])]
)
def test_swift_keeps_projects_apart(world: World, role: str, scope: str) -> None:
    token, wrong, before = swift_token(world, role, scope), [], world.state(world.foreign)
    for method, path, _writes in SWIFT_OPERATIONS:
        answers = [
            swift_answer(world, token, method, account + path.format(container=container, object=name))
            for account, container, name in (
                (world.foreign.url, world.foreign.container, "there"),
                (world.foreign.url, world.foreign.container, "missing"),
                (world.foreign.url, "missing", "missing"),
                (world.swift + "0" * 32, "missing", "missing"),
            )
        ]
        if answers[0][0] not in (401, 403) or len(set(answers)) != 1:
            wrong.append(f"{method} {path}: {answers}")
    assert wrong == []
    assert world.state(world.foreign) == before


@pytest.mark.parametrize("role", ROLES[1:])
def test_in_its_own_project_a_role_may_what_it_says_by_swift(world: World, role: str) -> None:
    token, wrong = swift_token(world, role, "a project"), []
    for method, path, writes in SWIFT_OPERATIONS:
        if path.startswith("/new") or (method, path) == ("DELETE", "/{container}"):
            continue
        world.restore(world.own)
        may = role in (WRITE_ROLES if writes else READ_ROLES)
        url = world.own.url + path.format(container=world.own.container, object="there")
        status, _text = swift_answer(world, token, method, url)
        if may != (status < 400 or (status == 404 and path.endswith("new"))):
            wrong.append(f"{method} {path}: {status}")
    assert wrong == []


COMPUTE_OPERATIONS: tuple[tuple[str, str, Any], ...] = (  # with ids of a stranger's, or of nothing
    ("GET", "{images}/images/{image}", None),
    ("GET", "{images}/images/{image}/file", None),
    ("GET", "{images}/images/{image}/members", None),
    ("GET", "{images}/images?marker={image}", None),
    ("DELETE", "{images}/images/{image}", None),
    ("POST", "{images}/images/{image}/members", {"member": "x"}),
    ("POST", "{images}/images/{image}/actions/deactivate", None),
    ("GET", "{volumes}/volumes/{volume}", None),
    ("GET", "{volumes}/volumes?marker={volume}", None),
    ("PUT", "{volumes}/volumes/{volume}", {"volume": {"name": "x"}}),
    ("DELETE", "{volumes}/volumes/{volume}", None),
    ("POST", "{volumes}/volumes/{volume}/action", {"os-extend": {"new_size": 2}}),
    ("POST", "{volumes}/volumes/{volume}/action", {"os-volume_upload_image": {"image_name": "x"}}),
    ("POST", "{volumes}/volumes", {"volume": {"size": 1, "source_volid": "{volume}"}}),
    ("POST", "{volumes}/volumes", {"volume": {"size": 1, "imageRef": "{image}"}}),
    ("POST", "{volumes}/snapshots", {"snapshot": {"volume_id": "{volume}"}}),
    ("POST", "{volumes}/backups", {"backup": {"volume_id": "{volume}"}}),
    ("POST", "{volumes}/volume-transfers", {"transfer": {"volume_id": "{volume}"}}),
)


@pytest.fixture(scope="module")
def things(world: World) -> dict[str, str]:
    """Return the ids of an image and a volume of the stranger's."""
    headers = {"X-Auth-Token": world.foreign.owner_token}
    wish = {"name": "private", "disk_format": "raw", "container_format": "bare", "visibility": "private"}
    image = requests.post(f"{world.images}/images", json=wish, headers=headers, timeout=WAIT_S).json()["id"]
    data = {**headers, "Content-Type": "application/octet-stream"}
    assert requests.put(f"{world.images}/images/{image}/file", data=bytes(512), headers=data, timeout=WAIT_S).ok
    made = {"volume": {"size": 1, "name": "private"}}
    volume = requests.post(f"{world.volumes}/volumes", json=made, headers=headers, timeout=WAIT_S).json()["volume"]
    deadline = time.monotonic() + WAIT_S
    while compute_state(world, world.foreign)[1]["volumes"][0]["status"] != "available":
        assert time.monotonic() < deadline, "the volume is not made"
        time.sleep(0.1)
    return {"image": image, "volume": volume["id"]}


def compute_state(world: World, place: Place) -> tuple[Any, Any]:
    """Return what the owner sees of images and volumes."""
    headers = {"X-Auth-Token": place.owner_token}
    urls = (f"{world.images}/images", f"{world.volumes}/volumes/detail")
    images, volumes = (requests.get(url, headers=headers, timeout=WAIT_S).json() for url in urls)
    return images, volumes


def compute_answer(world: World, token: str, method: str, url: str, document: Any, ids: dict[str, str]) -> Any:
    """Return status and text of an answer, with the ids that were asked for replaced by their names."""
    text = json.dumps(document)
    for name, value in {"images": world.images, "volumes": world.volumes, **ids}.items():
        url, text = url.replace(f"{{{name}}}", value), text.replace(f"{{{name}}}", value)
    headers = {"X-Auth-Token": token, "OpenStack-API-Version": "volume 3.71"}
    answer = requests.request(method, url, json=json.loads(text), headers=headers, timeout=WAIT_S)
    said = answer.text
    for name, value in ids.items():
        said = said.replace(value, name)
    return answer.status_code, said


@pytest.mark.parametrize(("role", "scope"), [("none", "nothing"), ("reader", "the system"), ("manager", "a project")])
def test_images_and_volumes_keep_projects_apart(world: World, things: dict[str, str], role: str, scope: str) -> None:
    missing = {name: str(uuid.uuid4()) for name in things}
    token, wrong, before = swift_token(world, role, scope), [], compute_state(world, world.foreign)
    for method, url, document in COMPUTE_OPERATIONS:
        answers = [compute_answer(world, token, method, url, document, ids) for ids in (things, missing)]
        if answers[0] != answers[1] or answers[0][0] < 400:
            wrong.append(f"{method} {url} {document}: {answers}")
    assert wrong == []
    assert compute_state(world, world.foreign) == before


@dataclass(frozen=True, slots=True)
class Victim:
    """Somebody whose token and key will end."""

    project: str
    token: str
    key: dict[str, str] | None  # None: what ends the token does not end the key

    def refused(self, world: World) -> bool:
        """Tell whether token and key are refused by all services, and by all proxies met."""
        services = (f"{world.url}/auth/projects", f"{world.images}/images", f"{world.volumes}/volumes")
        asked = [
            *(requests.get(url, headers={"X-Auth-Token": self.token}, timeout=WAIT_S) for url in services),
            *(requests.head(world.swift + self.project, headers={"X-Auth-Token": self.token}, timeout=WAIT_S)
              for _worker in range(4)),
        ]
        if any(each.status_code != 401 for each in asked):
            return False
        key = self.key
        return key is None or all(
            s3_answer(lambda: s3_client(world, key).list_buckets()) in ("InvalidAccessKeyId", "AccessDenied")
            for _worker in range(4)
        )


@pytest.mark.alone
def test_what_ended_is_refused_everywhere_within_seconds(world: World) -> None:
    victims: dict[str, Victim] = {}
    enders: list[Callable[[], Any]] = []

    def add(how: str, end: Callable[[str, str, str, str], Any], ends_key: bool = True) -> None:
        domain = world.make("domain")
        project = world.make("project", domain_id=domain)
        user = world.user(f"/projects/{project}", "member", domain)
        token = world.login({"id": user, "password": PASSWORD}, {"project": {"id": project}})
        key = world.key(user, project)
        for url in (world.swift + project, f"{world.images}/images", f"{world.volumes}/volumes"):
            assert requests.get(url, headers={"X-Auth-Token": token}, timeout=WAIT_S).ok
        assert s3_answer(lambda: s3_client(world, key).list_buckets()) == ""
        victims[how] = Victim(project, token, key if ends_key else None)
        enders.append(lambda: end(domain, project, user, token))

    grant = f"/projects/{{}}/users/{{}}/roles/{world.roles['member']}"
    off = {"enabled": False}
    add("revoked", lambda _d, _p, _u, token: world.ask("DELETE", "/auth/tokens", None, **{"X-Subject-Token": token}),
        ends_key=False)
    add("password", lambda _d, _p, user, _t: world.ask("PATCH", f"/users/{user}", {"user": {"password": "other"}}),
        ends_key=False)
    add("user off", lambda _d, _p, user, _t: world.ask("PATCH", f"/users/{user}", {"user": off}))
    add("user gone", lambda _d, _p, user, _t: world.ask("DELETE", f"/users/{user}"))
    add("project off", lambda _d, project, _u, _t: world.ask("PATCH", f"/projects/{project}", {"project": off}))
    add("project gone", lambda _d, project, _u, _t: world.ask("DELETE", f"/projects/{project}"))
    add("domain off", lambda domain, _p, _u, _t: world.ask("PATCH", f"/domains/{domain}", {"domain": off}))
    add("role gone", lambda _d, project, user, _t: world.ask("DELETE", grant.format(project, user)))
    for end in enders:
        end()
    deadline = time.monotonic() + NOTICED_S
    while True:
        late = [how for how, victim in victims.items() if not victim.refused(world)]
        if not late:
            return
        assert time.monotonic() < deadline, late


def test_what_expired_or_was_forged_is_refused_everywhere(world: World) -> None:
    layout = Layout(world.cluster.directory)
    coordination = EmbeddedCoordination(layout.coordination)
    following = Following(coordination)
    following.poll()
    keys = following.keys.current()
    coordination.close()
    assert keys is not None
    now_us = time.time_ns() // 1000
    scope = Scope(ScopeKind.PROJECT, world.foreign.project, "x", world.foreign.domain, "y")
    person, member = Person("a" * 32, "x", world.foreign.domain, "y"), Role(world.roles["member"], "member")
    expired = encode(
        Token(person, (Method.PASSWORD,), scope, (member,), now_us - 10**10, now_us - 1_000_000, ("A" * 22,)),
        keys.primary,
    )
    good = world.foreign.owner_token
    spoiled = good[:-6] + ("A" if good[-6] != "A" else "B") + good[-5:]
    for text in (expired, spoiled, good[:-1], good + good, "x", ""):
        assert Victim(world.foreign.project, text, None).refused(world), text
    wrong = {**world.foreign.owner_key, "secret_key": "0" * 40}
    assert s3_answer(lambda: s3_client(world, wrong).list_buckets()) == "SignatureDoesNotMatch"


def test_guessing_passwords_is_slowed(world: World) -> None:
    user = world.user("", "none", world.own.domain)
    right = {"id": user, "password": PASSWORD}
    world.login(right, None)
    identity: Any = {"methods": ["password"], "password": {"user": {"id": user, "password": "wrong"}}}
    for _guess in range(6):
        guess = requests.post(f"{world.url}/auth/tokens", json={"auth": {"identity": identity}}, timeout=WAIT_S)
        assert guess.status_code == 401
    identity = {"methods": ["password"], "password": {"user": right}}
    locked = requests.post(f"{world.url}/auth/tokens", json={"auth": {"identity": identity}}, timeout=WAIT_S)
    assert locked.status_code == 401
    assert locked.json() == guess.json()
