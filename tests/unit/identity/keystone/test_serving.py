"""The service as a process has it: identity/keystone/serving.py and cluster_services.py, without sockets."""

import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import falcon.testing
import pytest
from sqlalchemy import insert, select, update

from cluster.config import Config
from cluster.controlplane.database import retried
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.errors import ConfigError
from cluster.layout import Layout
from identity.keystone import endpoints
from identity.keystone.access.keys import KeyDirectory
from identity.keystone.policy.operators_file import operators_file
from identity.keystone.published_key import PREFIX, hash_of_access
from identity.keystone.schema import outbox, users
from identity.keystone.sealing import Seal
from identity.keystone.serving import IdentityService
from identity.keystone.tokens.following import Following
from identity.keystone.tokens.validation import TokenValidator
from tests.databases import ON_POSTGRESQL, url_in
from tools.creation import Wishes, create, plan


@pytest.fixture
def config(tmp_path: Path) -> Config:
    planned = plan(Wishes(node_count=1, port_offset=7))
    elsewhere = url_in(tmp_path) if ON_POSTGRESQL else ""
    return replace(
        planned,
        identity=replace(planned.identity, database=elsewhere),
        images=replace(planned.images, enabled=False),
        volumes=replace(planned.volumes, enabled=False),
    )


@pytest.fixture
def layout(tmp_path: Path, config: Config) -> Layout:
    create(Layout(tmp_path), config)
    return Layout(tmp_path)


@pytest.fixture
def service(layout: Layout, config: Config) -> Iterator[IdentityService]:
    made = IdentityService(config, layout)
    made.prepare()
    yield made
    made.close()


class Client:
    """The administrator."""

    def __init__(self, service: IdentityService, layout: Layout) -> None:
        self._client = falcon.testing.TestClient(service.application())
        password = layout.admin_password.read_text().strip()
        domain = {"id": "default"}
        identity = {
            "methods": ["password"],
            "password": {"user": {"name": "admin", "domain": domain, "password": password}},
        }
        scope = {"project": {"name": "admin", "domain": domain}}
        answer = self.ask("POST", "/v3/auth/tokens", {"auth": {"identity": identity, "scope": scope}}, "")
        self.text, self.token = answer.headers["X-Subject-Token"], answer.json["token"]

    def ask(self, method: str, path: str, document: Any = None, text: str | None = None, **headers: str) -> Any:
        sent = {"X-Auth-Token": self.text if text is None else text, **headers}
        return self._client.simulate_request(method, path, json=document, headers=sent)


def test_the_administrator_of_a_new_cluster_logs_in_and_finds_its_services(
    service: IdentityService, layout: Layout
) -> None:
    token = Client(service, layout).token
    urls = {each["type"]: each["endpoints"][0]["url"] for each in token["catalog"]}
    assert urls == {
        "identity": "http://127.0.0.1:5007/v3",
        "object-store": f"http://127.0.0.1:8087/v1/AUTH_{token['project']['id']}",
        "s3": "http://127.0.0.1:9007",
    }
    if not ON_POSTGRESQL:
        assert stat.S_IMODE(layout.identity_database.stat().st_mode) == 0o600


def test_what_was_committed_is_published_when_the_answer_comes(service: IdentityService, layout: Layout) -> None:
    client = Client(service, layout)
    path = f"/v3/users/{client.token['user']['id']}/credentials/OS-EC2"
    made = client.ask("POST", path, {"tenant_id": client.token["project"]["id"]}).json["credential"]
    assert service.coordination.get(PREFIX + hash_of_access(made["access"])) is not None
    proxy = EmbeddedCoordination(layout.coordination)
    keys = KeyDirectory(proxy, Seal(service_key(service)))
    assert keys.read_new()
    found = keys.known_by_access_key(made["access"])
    assert found is not None
    assert found.secret_key == made["secret"]
    following = Following(proxy)
    following.poll()
    validator = TokenValidator(following.keys, following.revoked)
    assert validator.validate(client.text) is not None
    assert client.ask("DELETE", "/v3/auth/tokens", **{"X-Subject-Token": client.text}).status_code == 204
    following.poll()
    assert validator.validate(client.text) is None
    proxy.close()


def service_key(service: IdentityService) -> bytes:
    return service._config.cluster.key_bytes


def test_a_start_that_ended_anywhere_is_followed_by_another(layout: Layout, config: Config) -> None:
    IdentityService(config, layout).coordination.close()  # it made the file, no more
    for _ in range(2):
        service = IdentityService(config, layout)
        service.prepare()
        assert service.health() == (True, {"outbox": 0, "token_key": 1})
        Client(service, layout)
        service.close()


def test_messages_of_one_that_was_killed_are_carried_by_the_next(layout: Layout, config: Config) -> None:
    service = IdentityService(config, layout)
    service.prepare()
    key = "identity/revoked/user/1"
    retried(service.database, lambda connection: connection.execute(insert(outbox).values(key=key, data=b"7")))
    service.coordination.acquire("identity/outbox", "identity", 30.0)  # and never released
    service.close()
    service = IdentityService(config, layout)
    service.prepare()
    value = service.coordination.get(key)
    assert value is not None
    assert value.data == b"7"
    service.close()


def test_other_ports_are_in_the_catalog_after_a_restart(layout: Layout, config: Config) -> None:
    moved = replace(
        config,
        identity=replace(config.identity, public_url="https://cloud.example:5000/", swift_url="https://cloud.example/"),
    )
    for each in (config, moved):
        service = IdentityService(each, layout)
        service.prepare()
        service.close()
    service = IdentityService(moved, layout)
    with service.database.reading() as connection:
        urls = {each.url for each in endpoints.list_all(connection)}
    assert urls == {
        "https://cloud.example:5000/v3",
        "https://cloud.example/v1/AUTH_$(project_id)s",
        "http://127.0.0.1:9007",
    }
    service.close()


def test_without_the_first_password_it_does_not_start(layout: Layout, config: Config) -> None:
    layout.admin_password.unlink()
    service = IdentityService(config, layout)
    with pytest.raises(ConfigError, match="holdfast up"):
        service.prepare()
    service.close()


def test_a_policy_that_is_not_there_is_refused(layout: Layout) -> None:
    with pytest.raises(ConfigError, match="policy_file"):
        operators_file(layout, "identity", "policy.yaml")


def test_the_sweep_ends(service: IdentityService) -> None:
    service.sweep()
    service.carry()


def test_a_first_password_that_the_rules_forbid_is_told(layout: Layout, config: Config) -> None:
    strict = replace(config, identity=replace(config.identity, password_pattern="[0-9]+"))
    service = IdentityService(strict, layout)
    with pytest.raises(ConfigError, match="requirements"):
        service.prepare()
    service.close()


def test_an_administrator_who_was_renamed_does_not_come_back(layout: Layout, config: Config) -> None:
    service = IdentityService(config, layout)
    service.prepare()
    rename = update(users).values(name="root")
    retried(service.database, lambda connection: connection.execute(rename))
    service.close()
    layout.admin_password.unlink()  # it is needed once only
    service = IdentityService(config, layout)
    service.prepare()
    with service.database.reading() as connection:
        assert list(connection.scalars(select(users.c.name))) == ["root"]
    service.close()


def test_a_key_that_only_coordination_has_goes_at_the_next_start(layout: Layout, config: Config) -> None:
    service = IdentityService(config, layout)
    service.prepare()
    client = Client(service, layout)
    path = f"/v3/users/{client.token['user']['id']}/credentials/OS-EC2"
    made = client.ask("POST", path, {"tenant_id": client.token["project"]["id"]}).json["credential"]
    kept, lost = PREFIX + hash_of_access(made["access"]), PREFIX + hash_of_access("LOST")
    service.coordination.put(lost, b"{}")
    service.coordination.delete(kept)
    service.close()
    service = IdentityService(config, layout)
    service.prepare()
    assert service.coordination.get(lost) is None
    assert service.coordination.get(kept) is not None
    service.close()
