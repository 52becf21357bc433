"""`[ring]`: what rings are made with."""

from dataclasses import dataclass
from typing import Annotated

from cluster.settings import Limits, Meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class RingConfig:
    """Used when the rings are made; later the rings themselves are what counts."""

    part_power: Annotated[
        int,
        Meaning(
            "2 to this power partitions: about 100 per device at the cluster's largest size. Cannot be "
            "changed for data that are there."
        ),
        Limits(1, 24),
    ] = 10
    replicas: Annotated[
        int,
        Meaning("Of every object, container and account. 3: the loss of one stops neither reads nor writes."),
        Limits(1, 16),
    ] = 3
