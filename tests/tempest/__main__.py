"""Run tempest: `python -m tests.tempest [--only REGEX] [--keep DIR] [--docs]`; `--help` tells more."""

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from cluster.config import Config, load
from cluster.config.services import running
from cluster.config.urls import swift_url
from cluster.layout import Layout
from tests.cluster import Cluster
from tests.tempest import configuration, preparation, results
from tests.tempest.known import REASONS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/openstack.md"
_BEGIN, _END = "<!-- written by make tempest -->", "<!-- until here -->"
_TESTS = {
    "identity": ("tempest.api.identity.v3", "tempest.api.identity.admin.v3"),
    "images": ("tempest.api.image.v2",),
    "volumes": ("tempest.api.volume",),
    "compute": ("tempest.api.compute", "tempest.scenario"),
    "network": ("tempest.api.network",),
}
_OBJECTS = "tempest.api.object_storage"
# these log in to guests by floating addresses, and wait for minutes: guests of that run have nothing to boot
_LOG_IN = (
    r"tempest\.scenario\.test_(network_basic_ops|network_advanced_server_ops|network_v6|security_groups_basic_ops|"
    r"snapshot_pattern|stamp_pattern|shelve_instance|volume_boot_pattern\.TestVolumeBootPattern\.test_volume_boot_pattern)"
)


def main() -> int:
    """Return 0 when nothing failed but what is known to."""
    parser = argparse.ArgumentParser(prog="python -m tests.tempest")
    parser.add_argument("--only", metavar="REGEX", default="", help="of the names of tests (default: all of our APIs)")
    parser.add_argument("--tempest", metavar="REQUIREMENT", default="tempest", help="as pip takes it")
    parser.add_argument("--environment", type=Path, default=ROOT / ".venv/tempest", help="where tempest is, or goes")
    parser.add_argument("--concurrency", type=int, default=2, metavar="N", help="tests at a time (default: 2)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where logs and results shall stay")
    parser.add_argument("--without-servers", action="store_true", help="where there is no hypervisor")
    parser.add_argument("--docs", action="store_true", help="write docs/openstack.md's table; with --only, the modules")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))  # so that the cluster ends, too
    _install(arguments.environment, arguments.tempest)
    with tempfile.TemporaryDirectory(prefix="holdfast-tempest-") as directory:
        found = _run_beside_cluster(arguments, arguments.keep or Path(directory))
    tallied = results.tallies(found)
    print(results.table(tallied, REASONS))
    if arguments.docs:
        _write(tallied, is_part=bool(arguments.only))
    failures = results.unexplained(found, REASONS)
    return 1 if failures or not found else 0


def _install(environment: Path, requirement: str) -> None:
    if not (environment / "bin/tempest").exists():
        print("installing tempest", flush=True)
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        options = ("--quiet", "--disable-pip-version-check")
        subprocess.run([environment / "bin/pip", "install", *options, requirement], check=True)


def _run_beside_cluster(arguments: argparse.Namespace, directory: Path) -> list[results.Result]:
    directory.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(directory / "data", with_identity=True)
    cluster.identity_settings = dict(configuration.IDENTITY_SETTINGS)
    cluster.images_settings = dict(configuration.IMAGES_SETTINGS)
    if not arguments.without_servers:
        cluster.compute_settings = dict(configuration.COMPUTE_SETTINGS)
    cluster.up()
    try:
        return _run(arguments, cluster, directory / "workspace")
    finally:
        cluster.holdfast("down", check=False)
        _end_guests(cluster.directory)


def _end_guests(directory: Path) -> None:
    """End the guests that outlive their cluster: those whose command names its directory."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().split(b"\0")
            if b"qemu-system" in command[0] and any(f"{directory}/".encode() in each for each in command):
                os.kill(int(process.name), signal.SIGKILL)


def _run(arguments: argparse.Namespace, cluster: Cluster, workspace: Path) -> list[results.Result]:
    layout = Layout(cluster.directory)
    config = load(layout.config)
    bin_ = arguments.environment / "bin"
    environment = os.environ | {"HOME": str(workspace.parent)}  # where it would note its workspaces
    initialize = [bin_ / "tempest", "init", workspace]
    subprocess.run(initialize, env=environment, check=True, stdout=subprocess.DEVNULL)
    password = layout.admin_password.read_text().strip()
    regex = arguments.only or "|".join(re.escape(each) for each in _packages(config))
    chosen = ("--regex", regex, "--exclude-regex", _LOG_IN)
    command = [bin_ / "tempest", "run", *chosen, "--concurrency", str(arguments.concurrency)]
    with_servers = not arguments.without_servers
    with preparation.prepared(layout.clouds, workspace.parent / "web", with_servers) as prepared:
        settings = configuration.sections(config, password, str(workspace), _features(config), prepared)
        (workspace / "etc/tempest.conf").write_text(configuration.render(settings))
        subprocess.run(command, cwd=workspace, env=environment, check=False)  # its status says whether all passed
    stream = subprocess.run([bin_ / "stestr", "last", "--subunit"], cwd=workspace, stdout=subprocess.PIPE, check=False)
    listed = subprocess.run(
        [bin_ / "subunit2csv", "--no-passthrough"], input=stream.stdout, stdout=subprocess.PIPE, check=False
    )
    return results.read(listed.stdout.decode())


def _packages(config: Config) -> list[str]:
    served = [package for service in running(config) for package in _TESTS.get(service.name, ())]
    return [f"{package}." for package in (*served, _OBJECTS)]


def _features(config: Config) -> list[str]:
    with urllib.request.urlopen(f"{swift_url(config)}/info", timeout=10) as answer:
        return sorted(json.load(answer))


def _write(tallied: Sequence[results.Tally], is_part: bool) -> None:
    """Write the table anew; of a part of the tests, those modules of it, which the regex has to name as a whole."""
    page = PAGE.read_text()
    before, _begin, rest = page.partition(_BEGIN)
    old, _end, after = rest.partition(_END)
    assert _begin, f"{PAGE} lacks {_BEGIN}"
    assert _end, f"{PAGE} lacks {_END}"
    shown = results.merged(results.read_table(old), tallied) if is_part else tallied
    PAGE.write_text(f"{before}{_BEGIN}\n\n{results.table(shown, REASONS)}\n\n{_END}{after}")


if __name__ == "__main__":
    sys.exit(main())
