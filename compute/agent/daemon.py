"""The agent of a host, as a process.

    python -m compute.agent.daemon --config DIR/cluster.toml --agent N

When it serves, the file DIR/run/agent-N.ready appears. SIGTERM: stop listening, and leave; guests go on, and the next
agent finds them. What it is made of: `serving`.
"""

import sys

from cluster.supervision import daemon, lock
from compute.agent.serving import serve

if __name__ == "__main__":
    sys.exit(daemon.run("compute.agent", "agent", serve, lock.Held))
