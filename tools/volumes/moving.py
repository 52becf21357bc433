"""`move`: another gateway serves a volume from now on."""

import argparse

from cluster.supervision.control import NotRunning
from tools.data_directory import Cluster
from tools.environment import nbd_url
from tools.errors import OperatorError
from tools.volumes.asking import Answer, ask_one


def move(cluster: Cluster, arguments: argparse.Namespace) -> Answer:
    """Have a gateway take a volume from the one that has it."""
    count = cluster.config.block.gateways
    if not 0 <= arguments.gateway < count:
        raise OperatorError(f"there is no gateway {arguments.gateway}: this cluster has {count}, counted from 0")
    try:
        answer = ask_one(cluster, arguments.gateway, "take", name=arguments.name)
    except NotRunning as error:
        raise OperatorError(f"gateway {arguments.gateway} does not answer: does it run?") from error
    uri = nbd_url(cluster.config, arguments.gateway) + arguments.name
    return {**answer, "gateway": arguments.gateway, "uri": uri}


def move_shown(answer: Answer) -> list[str]:
    """Say where it is."""
    return [f"{answer['volume']['name']} is at gateway {answer['gateway']}: {answer['uri']}"]
