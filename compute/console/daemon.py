"""The console daemon: a web page over the APIs of a cluster.

    python -m compute.console.daemon --config DIR/cluster.toml

When it serves, the file DIR/run/console.ready appears. SIGTERM: stop listening, finish requests under way, leave. What
it is made of: `serving`.
"""

import sys

from cluster.controlplane import daemon
from cluster.processes import CONSOLE
from compute.console.serving import serve


def main() -> int:
    """Run it until it is told to stop; return the exit status."""
    return daemon.run(CONSOLE, serve)


if __name__ == "__main__":
    sys.exit(main())
