"""Takes away what agents of a cluster have made on this host: for when the cluster is not to run here again.

    python -m compute.agent.wiring.removal DIRECTORY

Guests that still run lose their networks. An agent that starts again makes all of it anew.
"""

import argparse
import os
import sys
from pathlib import Path

from cluster.layout import Layout
from compute.agent.wiring import host
from compute.agent.wiring.bridge import remove_all
from compute.agent.wiring.choosing import RUN
from compute.agent.wiring.names import Names

_AGENTS = 16  # of one host, at most: `[compute] agents`


def main() -> None:
    """Take it away."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", help="the data directory of the cluster")
    layout = Layout(Path(os.path.abspath(parser.parse_args().directory)))
    if lacking := host.lacking():
        sys.exit(f"nothing can be taken away: {'; '.join(lacking)}")
    for agent in range(_AGENTS):
        names = Names.of(str(layout.directory), agent)
        remove_all(names, RUN / f"holdfast-{names.mark}")


if __name__ == "__main__":
    main()
