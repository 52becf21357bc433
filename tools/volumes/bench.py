"""`bench`: what a volume gives its clients, measured by a short load. What is stored is read only.

With --write a volume is made for it, written, and deleted again. Figures depend on what is there: chunks that nobody
has written are zeros that no disk is asked for.
"""

import argparse
import asyncio
import os
from collections.abc import Sequence

from blockgw.interfaces import KiB, MiB
from blockgw.nbd.protocol import Command
from tools.data_directory import Cluster
from tools.errors import OperatorError
from tools.progress import Progress
from tools.volumes.asking import Answer, ask_gateway
from tools.volumes.images import uri_of
from tools.volumes.load import Connection, Shape
from tools.volumes.showing import table

SCRATCH = 256 * MiB
READS = (
    Shape("4 KiB random reads", Command.READ, 4 * KiB, 1, True),
    Shape("4 KiB random reads, 32 at once", Command.READ, 4 * KiB, 32, True),
    Shape("1 MiB reads in order, 4 at once", Command.READ, MiB, 4, False),
)
WRITES = (
    Shape("1 MiB writes in order, 4 at once", Command.WRITE, MiB, 4, False),
    Shape("4 KiB random writes", Command.WRITE, 4 * KiB, 1, True),
    Shape("4 KiB random writes, 32 at once", Command.WRITE, 4 * KiB, 32, True),
    Shape("4 KiB random writes, a flush after each", Command.WRITE, 4 * KiB, 1, True, flush_each=True),
)


def bench(cluster: Cluster, arguments: argparse.Namespace) -> Answer:
    """Measure a volume."""
    if not arguments.write:
        if arguments.name is None:
            raise OperatorError("bench what? NAME or a URI; or --write, which makes a volume of its own")
        uri = arguments.name if "://" in arguments.name else uri_of(cluster, arguments.name)
        return asyncio.run(_measured(uri, READS, arguments.seconds))
    if arguments.name is not None:
        raise OperatorError("--write makes a volume of its own: what is in others is not overwritten")
    name = f"bench-{os.urandom(4).hex()}"
    ask_gateway(cluster, "create", name=name, size=SCRATCH, description="made by `holdfast volume bench`")
    try:
        return asyncio.run(_measured(uri_of(cluster, name), WRITES + READS, arguments.seconds))
    finally:
        ask_gateway(cluster, "delete", name=name)


async def _measured(uri: str, shapes: Sequence[Shape], seconds: float) -> Answer:
    connection = await Connection.open(uri)
    loads = []
    try:
        with Progress() as progress:
            for shape in shapes:
                progress.show(shape.name)
                if shape.block > connection.size:
                    raise OperatorError(f"the volume has {connection.size} bytes: too few to measure")
                found = await connection.run(shape, seconds, connection.size)
                loads.append(
                    {
                        "load": shape.name,
                        "iops": round(found.count / found.seconds, 1),
                        "bytes_per_s": round(found.bytes / found.seconds),
                        "p50_us": round(found.percentile(0.5) * 1e6),
                        "p99_us": round(found.percentile(0.99) * 1e6),
                        "max_us": round(found.latencies_s[-1] * 1e6),
                    }
                )
    finally:
        await connection.close()
    return {"seconds": seconds, "loads": loads}


def bench_shown(answer: Answer) -> list[str]:
    """Return a table of figures."""
    rows = [
        (
            each["load"], f"{each['iops']:.0f}", f"{each['bytes_per_s'] / 1e6:.1f}",
            f"{each['p50_us'] / 1000:.2f}", f"{each['p99_us'] / 1000:.2f}", f"{each['max_us'] / 1000:.2f}"
        )
        for each in answer["loads"]
    ]
    return table(("LOAD", "REQUESTS/S", "MB/S", "P50 MS", "P99 MS", "MAX MS"), rows)
