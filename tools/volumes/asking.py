"""Asking the block gateway of a cluster."""

from typing import Any

from cluster.supervision.control import ControlError, NotRunning, ask
from tools.data_directory import Cluster
from tools.errors import OperatorError

ANSWER_S = 120.0  # the gateway itself waits half a minute for devices, and compares data for a diff
Answer = dict[str, Any]


def ask_gateway(cluster: Cluster, do: str, **about: Any) -> Answer:
    """Return the answer of the first gateway that runs; it passes on what is another's. Raise OperatorError."""
    if not cluster.config.block.gateways:
        raise OperatorError(
            f"this cluster serves no volumes: set gateways = 1 under [block] in {cluster.layout.config}"
        )
    for gateway in range(cluster.config.block.gateways):
        try:
            return ask_one(cluster, gateway, do, **about)
        except NotRunning:
            continue
    raise OperatorError("no block gateway answers: is the cluster up?")


def all_volumes(cluster: Cluster) -> list[Answer]:
    """Return what there is to say of all volumes, those in the trash too, by name. Raise OperatorError."""
    found: list[Answer] = []
    first: str | None = ""
    while first is not None:
        answer = ask_gateway(cluster, "list", first=first)
        found += answer["volumes"]
        first = answer["next"]
    return found


def ask_one(cluster: Cluster, gateway: int, do: str, **about: Any) -> Answer:
    """Return the answer of one gateway. Raise OperatorError, NotRunning."""
    try:
        return ask(cluster.layout.gateway_socket(gateway), do, timeout_s=ANSWER_S, **about)
    except NotRunning:
        raise
    except ControlError as error:
        raise OperatorError(str(error)) from error
