"""A process that serves a small application on a port: `python -m tests.unit.cluster.controlplane.served DIRECTORY`.

/slow sleeps for a second, /write counts in the database, anything else says "hello". The port is on standard output.
"""

from cluster.controlplane import runner

runner.patch()

import socket  # noqa: E402 after patch()
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Iterable  # noqa: E402
from pathlib import Path  # noqa: E402

from sqlalchemy import Connection, text  # noqa: E402

from cluster.controlplane.database import Database, retried  # noqa: E402
from cluster.controlplane.probes import Admin, Environ, Probed, StartResponse  # noqa: E402
from cluster.telemetry.metrics import Registry  # noqa: E402
from tests.databases import url_in  # noqa: E402


def main() -> None:
    database = Database(url_in(Path(sys.argv[1])))
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE counts (count INTEGER)"))
        connection.execute(text("INSERT INTO counts VALUES (0)"))

    def count(connection: Connection) -> int:
        connection.execute(text("UPDATE counts SET count = count + 1"))
        time.sleep(0.01)  # others run meanwhile, and want to write, too
        return int(connection.scalar(text("SELECT count FROM counts")) or 0)

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/slow":
            time.sleep(1)
        body = b"hello"
        if environ["PATH_INFO"] == "/write":
            body = b"%d" % retried(database, count)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]

    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    registry = Registry()
    admin = Admin(registry, lambda: (True, {}))
    probed = Probed(application, "served", registry, lambda: (True, {}))

    def both(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return (admin if environ["PATH_INFO"] == "/metrics" else probed)(environ, start_response)

    runner.serve([runner.Served(listener, both)], runner.Limits(grace_s=5))
    print("stopped", flush=True)


if __name__ == "__main__":
    main()
