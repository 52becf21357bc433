"""What OpenStack's clients read: tools/clouds.py."""

import stat
import subprocess
from pathlib import Path

import pytest

from cluster.config import Config
from cluster.layout import Layout
from tools.clouds import ensure_password, refresh, render_clouds, variables
from tools.creation import Wishes, create, plan


@pytest.fixture
def config() -> Config:
    return plan(Wishes(node_count=1, port_offset=7))


def test_a_new_cluster_has_a_password_that_its_owner_alone_reads(tmp_path: Path, config: Config) -> None:
    layout = Layout(tmp_path)
    create(layout, config)
    password = layout.admin_password.read_text().strip()
    assert len(password) >= 32
    refresh(layout, config)
    for path in (layout.admin_password, layout.clouds, layout.openrc):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert layout.admin_password.read_text().strip() == password
    assert password in layout.clouds.read_text()


def test_a_changed_password_is_taken_over(tmp_path: Path, config: Config) -> None:
    layout = Layout(tmp_path)
    layout.admin_password.write_text("it's mine\n")
    ensure_password(layout)
    assert refresh(layout, config)["OS_PASSWORD"] == "it's mine"
    script = f'. {layout.openrc}; printf "%s\\n" "$OS_AUTH_URL" "$OS_PASSWORD"'
    shown = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    assert shown == ["http://127.0.0.1:5007/v3", "it's mine"]


def test_without_the_service_there_is_nothing(tmp_path: Path) -> None:
    assert refresh(Layout(tmp_path), plan(Wishes(node_count=1, has_identity=False))) == {}
    assert not list(tmp_path.iterdir())


def test_the_cloud_has_everything_that_a_login_takes(config: Config) -> None:
    lines = render_clouds(variables(config, 'a "b"')).splitlines()
    assert lines[:3] == ["clouds:", "  holdfast:", "    auth:"]
    assert '      password: "a \\"b\\""' in lines
    assert '      auth_url: "http://127.0.0.1:5007/v3"' in lines
