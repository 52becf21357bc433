"""The compute daemon: OpenStack's Nova of a cluster.

    python -m compute.instances.daemon --config DIR/cluster.toml

When it serves, the file DIR/run/compute.ready appears. SIGTERM: stop listening, finish requests under way, leave. What
it is made of: `serving`.
"""

import sys
import warnings

if __name__ == "__main__":
    # eventlet advises new projects against itself; the applications run under any server (`controlplane.runner`)
    warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")

    from cluster.controlplane import runner

    runner.patch()  # before modules that make locks are imported

    from sqlalchemy.exc import SQLAlchemyError

    from cluster.controlplane import daemon
    from compute.instances.serving import NAME, serve

    sys.exit(daemon.run(NAME, serve, SQLAlchemyError))
