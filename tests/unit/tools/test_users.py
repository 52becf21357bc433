"""tools.users"""

import json
from pathlib import Path

import pytest

from cluster.layout import Layout
from tools import cli
from tools.creation import Wishes, create, plan
from tools.environment import refresh


@pytest.fixture
def data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """A data directory with a cluster that does not run."""
    config = plan(Wishes())
    create(Layout(tmp_path), config)
    refresh(Layout(tmp_path), config)
    capsys.readouterr()
    return str(tmp_path)


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> object:
    assert cli.main(["user", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_new_user_gets_keys_an_id_and_a_name_to_show(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    user = answer(capsys, "add", "ann", "--data", data)
    assert isinstance(user, dict)
    assert user["display_name"] == "ann"
    assert len(user["id"]) == 64
    assert len(user["access_key"]) == 20
    assert len(user["secret_key"]) == 40
    assert answer(capsys, "key", "ann", "--data", data) == user


def test_people_see_the_same(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["user", "add", "ann", "--data", data]) == 0
    shown = capsys.readouterr().out
    user = answer(capsys, "key", "ann", "--data", data)
    assert isinstance(user, dict)
    assert f"secret_key    {user['secret_key']}\n" in shown


def test_a_name_is_given_once(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["user", "add", "ann", "--data", data]) == 0
    assert cli.main(["user", "add", "ann", "--data", data]) == 1
    assert capsys.readouterr().err == "holdfast: there is already a user ann.\n"


def test_a_list_shows_no_secrets(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["user", "add", "ann", "--data", data])
    capsys.readouterr()
    users = answer(capsys, "list", "--data", data)
    assert isinstance(users, list)
    assert [user["name"] for user in users] == ["admin", "ann"]
    assert not any("secret_key" in user for user in users)
    assert cli.main(["user", "list", "--data", data]) == 0
    assert "AUTH_ann" in capsys.readouterr().out


def test_a_removed_user_is_gone(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["user", "add", "ann", "--data", data])
    assert cli.main(["user", "remove", "ann", "--data", data]) == 0
    assert cli.main(["user", "key", "ann", "--data", data]) == 1
    assert capsys.readouterr().err == "holdfast: there is no user ann.\n"


def test_the_user_that_env_is_for_stays(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["user", "remove", "admin", "--data", data]) == 1
    assert "--renew" in capsys.readouterr().err


def test_new_keys_of_admin_are_in_env_at_once(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    user = answer(capsys, "key", "admin", "--renew", "--data", data)
    assert isinstance(user, dict)
    assert cli.main(["env", "--data", data]) == 0
    assert f"AWS_SECRET_ACCESS_KEY={user['secret_key']}\n" in capsys.readouterr().out


def test_a_name_that_cannot_be_is_refused(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["user", "add", "a/b", "--data", data]) == 1
    assert "cannot be a user" in capsys.readouterr().err
