"""`python -m tools.bench.alone OPTION…`: make a cluster in a temporary directory, measure it, throw it away.

The directory is where TMPDIR says; on a file system in memory nothing would wait for a disk, and the figures
would mean little.
"""

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Sequence

from cluster.telemetry.probe import is_free
from tools import cli
from tools.bench import wrk
from tools.creation import Wishes, plan
from tools.errors import OperatorError
from tools.processes import ports

_OFFSETS = range(10_000, 50_000, 500)


def main(options: Sequence[str]) -> int:
    """Run `holdfast bench` with `options` on a cluster of its own; return the exit code."""
    try:
        wrk.require()
        offset = free_offset()
    except OperatorError as error:
        print(f"holdfast: {error}.", file=sys.stderr)
        return cli.EXIT_FAILURE
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as directory:
        data = ("--data", os.path.join(directory, "data"))
        with contextlib.redirect_stdout(io.StringIO()):  # only what was measured goes to stdout
            started = cli.main(["up", *data, "--port-offset", str(offset), "--without-identity", "--detach"])
        if started != 0:
            return started
        try:
            return cli.main(["bench", *data, *options])
        finally:
            with contextlib.redirect_stdout(io.StringIO()):
                cli.main(["down", *data])


def free_offset() -> int:
    """Return a port offset at which nothing listens. Raise OperatorError when there is none."""
    for offset in _OFFSETS:
        if all(is_free(port.host, port.number) for port in ports(plan(Wishes(port_offset=offset)))):
            return offset
    raise OperatorError("too many ports are in use to start a cluster: stop something, or measure one with DATA=")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
