"""A cluster's data directory: whether there is one, and opening it."""

import argparse
import os
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cluster.config import Config, load
from cluster.layout import Layout
from cluster.supervision import lock
from cluster.version import DATA_LAYOUT
from tools.errors import OperatorError

_DEFAULT = Path("~/.local/share/holdfast")
# what a first start makes before it writes VERSION; only these may be there without it
_MADE_FIRST = frozenset(
    (
        "cluster.toml",
        "cluster.env",
        "clouds.yaml",
        "openrc",
        "admin.password",
        "coordination.db",
        "coordination.db-wal",
        "coordination.db-shm",
        "run",
        "log",
    )
)


class Contents(Enum):
    """What is in a directory."""

    NOTHING = "nothing"  # or what a first start left that did not come to its end
    CLUSTER = "cluster"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that has been made; it may run or not."""

    layout: Layout
    config: Config

    @property
    def lock_path(self) -> Path:
        """Held by the supervisor while it runs."""
        return lock_path(self.layout)

    def is_running(self) -> bool:
        """Tell whether its supervisor runs."""
        return lock.is_held(self.lock_path)


def add_data_argument(parser: argparse.ArgumentParser, default: str = str(_DEFAULT)) -> None:
    """Let a command take --data."""
    parser.add_argument(
        "--data", metavar="DIR", default=default, help=f"the data directory (default: {_DEFAULT})"
    )


def layout_of(arguments: argparse.Namespace) -> Layout:
    """Return the layout that --data means."""
    return Layout(Path(os.path.abspath(os.path.expanduser(arguments.data))))


def lock_path(layout: Layout) -> Path:
    """Return where the supervisor's lock is."""
    return layout.run / "supervisor.lock"


def inspect(layout: Layout) -> Contents:
    """Tell what is in the data directory. Raise OperatorError when another version wrote it."""
    try:
        names = {entry.name for entry in layout.directory.iterdir()}
    except FileNotFoundError:
        return Contents.NOTHING
    except OSError as error:
        raise OperatorError(f"cannot use {layout.directory}: {error.strerror}") from error
    if layout.version.name in names:
        _check_version(layout)
        return Contents.CLUSTER
    return Contents.NOTHING if names <= _MADE_FIRST else Contents.OTHER


def _check_version(layout: Layout) -> None:
    try:
        version = layout.version.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"cannot read {layout.version}: {error}") from error
    if version != str(DATA_LAYOUT):
        raise OperatorError(
            f"{layout.directory} has data layout {version or 'unknown'} and this release knows {DATA_LAYOUT}: use the "
            "release that made it, or make a cluster in another directory with --data and copy the objects over"
        )


def open_cluster(arguments: argparse.Namespace) -> Cluster:
    """Return the cluster that --data means. Raise OperatorError or ConfigError."""
    layout = layout_of(arguments)
    if inspect(layout) is not Contents.CLUSTER:
        option = "" if arguments.data == str(_DEFAULT) else f" --data {arguments.data}"
        raise OperatorError(f"there is no cluster in {layout.directory}: `{program()} up{option}` makes one")
    return Cluster(layout, load(layout.config))


def program() -> str:
    """Return how the operator called this program, to show it in advice."""
    called = sys.argv[0]
    return "holdfast" if not called.endswith("holdfast") or os.sep not in called or _is_on_path() else called


def _is_on_path() -> bool:
    directory = os.path.dirname(os.path.abspath(sys.argv[0]))
    return directory in (os.path.abspath(each) for each in os.get_exec_path())


def data_option(layout: Layout) -> str:
    """Return the --data option that leads to `layout`, empty for the default."""
    default = os.path.abspath(os.path.expanduser(_DEFAULT))
    return "" if str(layout.directory) == default else f" --data {layout.directory}"
