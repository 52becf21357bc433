"""`[console]`: the web page over the public APIs."""

from dataclasses import dataclass
from typing import Annotated

from cluster.settings import Limits, Meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleConfig:
    """The console."""

    enabled: Annotated[bool, Meaning("Whether it runs. It takes about 55 MB.")] = True
    max_connections: Annotated[
        int, Meaning("Connections of browsers at a time; more wait to be accepted."), Limits(8, 10_000)
    ] = 256
