"""tools.identity: a way in for who is locked out."""

import io
from pathlib import Path

import pytest

from cluster.config import Config, load
from cluster.controlplane.database import retried
from cluster.layout import Layout
from identity.keystone import domains, projects, users
from identity.keystone.serving import IdentityService
from tests.unit.identity.keystone.stack import password_identity
from tests.unit.identity.keystone.test_serving import Client
from tools import cli
from tools.creation import Wishes, create, plan


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    create(Layout(tmp_path), plan(Wishes(node_count=1)))
    return Layout(tmp_path)


def started(layout: Layout) -> IdentityService:
    service = IdentityService(config_of(layout), layout)
    service.prepare()
    return service


def config_of(layout: Layout) -> Config:
    return load(layout.config)


def test_the_administrator_is_let_in_again_whatever_was_done(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    service = started(layout)
    client = Client(service, layout)
    user_id = client.token["user"]["id"]
    assert client.ask("PATCH", f"/v3/users/{user_id}", {"user": {"enabled": False}}).status_code == 200
    with service.database.writing() as connection:
        for place in (projects.find(connection, "admin", "default"), domains.get(connection, "default")):
            projects.change(connection, place, {"enabled": False}, 1)
    assert cli.main(["identity", "password", "--data", str(layout.directory)]) == 0
    shown = capsys.readouterr().out.strip()
    assert layout.admin_password.read_text().strip() == shown
    assert shown in layout.clouds.read_text()
    assert shown in layout.openrc.read_text()
    assert Client(service, layout).ask("GET", "/v3/users").status_code == 200
    assert client.ask("GET", "/v3/users").status_code == 401
    service.close()


def test_an_administrator_who_was_removed_is_made_again(layout: Layout) -> None:
    service = started(layout)
    user_id = Client(service, layout).token["user"]["id"]
    retried(service.database, lambda connection: users.remove(connection, user_id, 1))
    with service.database.writing() as connection:
        users.create(connection, users.User("left", "default"), None, service._settings, 1)
    assert cli.main(["identity", "password", "--data", str(layout.directory)]) == 0
    assert Client(service, layout).ask("GET", "/v3/users").status_code == 200
    service.close()


def test_others_get_the_password_of_standard_input(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service = started(layout)
    before = layout.admin_password.read_text()
    client = Client(service, layout)
    assert client.ask("POST", "/v3/users", {"user": {"name": "ann"}}).status_code == 201
    monkeypatch.setattr("sys.stdin", io.StringIO("sesame\nmore"))
    assert cli.main(["identity", "password", "ann", "--stdin", "--data", str(layout.directory)]) == 0
    assert capsys.readouterr().out == ""
    identity = password_identity("ann", "sesame")
    assert client.ask("POST", "/v3/auth/tokens", {"auth": {"identity": identity}}).status_code == 201
    assert layout.admin_password.read_text() == before
    service.close()


def test_what_cannot_be_done_is_said(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(layout.directory)]
    assert cli.main(["identity", "password", *data]) == 1
    assert "has not run yet" in capsys.readouterr().err
    started(layout).close()
    assert cli.main(["identity", "password", "nobody", *data]) == 1
    assert "Could not find user: nobody" in capsys.readouterr().err
