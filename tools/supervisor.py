"""The supervisor's process: what `holdfast up` becomes, or starts behind.

python -m tools.supervisor --data DIR --lock DESCRIPTOR
"""

import argparse
import os
import sys
from pathlib import Path

from cluster.config import load
from cluster.layout import Layout
from cluster.supervision import lock
from cluster.supervision.supervisor import Supervisor
from tools.processes import programs, python_module


def command(layout: Layout, lock_descriptor: int) -> tuple[str, ...]:
    """Return the command that supervises the cluster; it inherits the lock."""
    return (*python_module("tools.supervisor"), "--data", str(layout.directory), "--lock", str(lock_descriptor))


def main() -> int:
    """Supervise until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--lock", type=int, required=True)
    arguments = parser.parse_args()
    layout = Layout(arguments.data)
    lock.sign(arguments.lock)
    os.set_inheritable(arguments.lock, False)  # its children must not keep it when it dies
    return Supervisor(lambda: programs(load(layout.config), layout), layout.control_socket).run()


if __name__ == "__main__":
    sys.exit(main())
