"""Drops layers that nobody reads.

Invariant: a layer is noted as doomed before the last chain that names it is changed, and the note stays until every
device of the rings has dropped the layer. A layer that no chain names is never named again: new chains begin with
new layers, in front of a snapshot's. So to look up all chains and then to drop is safe, whoever else does what.
"""

import asyncio

from blockgw.holding import Holder
from blockgw.inventory import placing_of
from cluster.telemetry.log import get_logger

_log = get_logger("blockgw")


async def sweep(gateway: Holder, only: str | None = None) -> int:
    """Drop what was noted, of the family `only` or of all; return how many layers are gone. Raise VolumeError.

    What a device that is away may have is dropped another time.
    """
    doomed = await gateway.catalog(lambda catalog: catalog.doomed())
    wanted = {family: layers for family, layers in doomed.items() if only in (None, family)}
    if not wanted:
        return 0
    everybody = await gateway.catalog(lambda catalog: catalog.all())
    named = {(each.family, layer) for each in everybody for chain in each.chains for layer in chain}
    count = 0
    for family, layers in wanted.items():
        for layer in layers:
            if (family, layer) not in named and await _drop(gateway, family, layer):
                count += 1
    return count


async def _drop(gateway: Holder, family: str, layer: int) -> bool:
    devices = placing_of(gateway.placement, family).devices().values()
    outcomes = await asyncio.gather(*(device.drop(layer) for device in devices), return_exceptions=True)
    failures = [str(outcome) for outcome in outcomes if isinstance(outcome, BaseException)]
    if failures:
        _log.info("layer_not_dropped_everywhere", family=family, layer=layer, failures=failures[:3])
        return False
    await gateway.catalog(lambda catalog: catalog.dropped(family, layer))
    return True
