"""What differs between the volume service's database and the gateways' volumes, for `holdfast doctor`."""

from collections.abc import Iterator

from cluster.config.services import VOLUMES
from tools.ailments import Ailment
from tools.data_directory import Cluster


def differences(cluster: Cluster, fix: bool) -> Iterator[Ailment]:
    """Yield what differs; with `fix`, what is left of it after all was mended that can be.

    A cluster that does not run, or has no volume service, is not looked at.
    """
    config, layout = cluster.config, cluster.layout
    if not (VOLUMES.runs(config) and layout.ready(VOLUMES.name).exists()):
        return
    # imported here because only clusters with the service should pay for a database's library
    from sqlalchemy.exc import SQLAlchemyError

    from compute.stored import BackendError
    from compute.volumes import audit

    try:
        found = audit.examine(config, layout, fix)
    except (BackendError, SQLAlchemyError) as error:
        yield Ailment("The volume service's database and the volumes could not be compared", doing=str(error))
        return
    for each in found:
        advice = "`holdfast doctor --fix` mends it" if each.mend is not None else ""
        yield Ailment(str(each).rstrip("."), advice=advice)
