"""What differs between services' databases and what there is of what they know, for `holdfast doctor`."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass

from cluster.config.services import COMPUTE, VOLUMES, ControlService
from storage.overview.ailments import Ailment
from tools.data_directory import Cluster


@dataclass(frozen=True, slots=True)
class _Audit:
    service: ControlService
    module: str  # imported when it is needed: only clusters with the service should pay for a database's library
    things: str  # that its database is compared with


_AUDITS = (
    _Audit(VOLUMES, "compute.volumes.audit", "the volumes"),
    _Audit(COMPUTE, "compute.instances.audit", "the guests, their disks and ports"),
)


def differences(cluster: Cluster, fix: bool) -> Iterator[Ailment]:
    """Yield what differs; with `fix`, what is left of it after all was mended that can be.

    Services that do not run are not looked at.
    """
    for each in _AUDITS:
        if each.service.runs(cluster.config) and cluster.layout.ready(each.service.name).exists():
            yield from _differences(cluster, each, fix)


def _differences(cluster: Cluster, audit: _Audit, fix: bool) -> Iterator[Ailment]:
    from sqlalchemy.exc import SQLAlchemyError

    from compute.stored import BackendError

    try:
        found = importlib.import_module(audit.module).examine(cluster.config, cluster.layout, fix)
    except (BackendError, SQLAlchemyError) as error:
        what = f"The database of {audit.service.title} and {audit.things} could not be compared"
        yield Ailment(what, doing=str(error))
        return
    for each in found:
        advice = "`holdfast doctor --fix` mends it" if each.mend is not None else ""
        yield Ailment(str(each).rstrip("."), advice=advice)
