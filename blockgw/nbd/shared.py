"""What all connections of a server have in common."""

import asyncio
from dataclasses import dataclass, field

from blockgw.interfaces import Exports
from blockgw.nbd.budget import Budget
from blockgw.nbd.connections import Connections
from blockgw.nbd.counters import Counters
from blockgw.nbd.limits import Limits
from cluster.telemetry.log import Logger
from cluster.wire.memory import BufferPool


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """The server's, for its connections to use."""

    loop: asyncio.AbstractEventLoop
    exports: Exports
    limits: Limits
    budget: Budget
    counters: Counters
    connections: Connections
    log: Logger
    pool: BufferPool = field(default_factory=BufferPool)  # for what is received, as long as somebody refers to it
