"""The command: its options, whom it measures, and how the results are shown."""

import argparse
import json
from collections.abc import Sequence

from cluster.coordination.embedded import EmbeddedCoordination
from identity.errors import NoSuchUser
from identity.users import UserStore
from tools import environment
from tools.bench import results, wrk
from tools.bench.client import System, parse_peer
from tools.bench.measure import Measurement
from tools.bench.steps import Operation, plan
from tools.data_directory import Cluster, add_data_argument, data_option, open_cluster, program
from tools.errors import OperatorError
from tools.progress import Progress

OWN_NAME = "holdfast"
EXIT_ERRORS = 1  # some requests to the cluster failed
_LARGEST = 64 << 20  # bytes: the client keeps a body in memory
_NUMBER_LIMIT = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_data_argument(parser)
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        type=_peer,
        metavar="NAME=URL,ACCESS,SECRET",
        help="another S3 endpoint to compare with; may be repeated. A fourth field is its region (default: us-east-1)",
    )
    parser.add_argument(
        "--operations",
        type=_operations,
        default=tuple(Operation),
        metavar="NAMES",
        help="what to measure, by comma (default: put,get,list,delete)",
    )
    parser.add_argument(
        "--sizes",
        type=_sizes,
        default=(4096, 1 << 20),
        metavar="BYTES",
        help="sizes of the objects that are put and got, by comma (default: 4096,1048576)",
    )
    parser.add_argument(
        "--connections",
        type=_counts,
        default=(1, 16),
        metavar="COUNTS",
        help="how many clients at once, by comma (default: 1,16)",
    )
    parser.add_argument("--seconds", type=_count, default=5, metavar="N", help="length of a measurement (default: 5)")
    parser.add_argument("--rounds", type=_count, default=2, metavar="N", help="medians are over these (default: 2)")
    parser.add_argument("--json", action="store_true", help="for programs")


def _peer(text: str) -> System:
    try:
        return parse_peer(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _operations(text: str) -> tuple[Operation, ...]:
    try:
        return tuple(dict.fromkeys(Operation(name.strip().upper()) for name in text.split(",")))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _counts(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(_count(each) for each in text.split(",")))


def _count(text: str) -> int:
    return _number(text, 1, _NUMBER_LIMIT)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(_number(each, 0, _LARGEST) for each in text.split(",")))


def _number(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise argparse.ArgumentTypeError(f"{text} is not a number from {least} to {most}")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Measure, and show what was found."""
    peers: Sequence[System] = arguments.peer
    names = [peer.name for peer in peers]
    if len({OWN_NAME, *names}) != len(peers) + 1:
        raise OperatorError(f"the peers need names of their own, other than {OWN_NAME}")
    own = _own_system(open_cluster(arguments))
    wrk.require()
    steps = plan(arguments.operations, arguments.sizes, arguments.connections)
    with Progress() as progress:
        measurement = Measurement([own, *peers], steps, arguments.seconds, progress)
        found = results.summarize(measurement.run(arguments.rounds), OWN_NAME, names)
    if arguments.json:
        print(json.dumps(results.document(found, arguments.seconds, arguments.rounds), indent=2))
    else:
        print("\n".join(results.table(found, names)))
    return EXIT_ERRORS if any(each.error_count for each in found if each.system == OWN_NAME) else 0


def _own_system(cluster: Cluster) -> System:
    if not cluster.is_running():
        option = data_option(cluster.layout)
        raise OperatorError(f"the cluster is not running: `{program()} up{option}` starts it")
    coordination = EmbeddedCoordination(cluster.layout.coordination)
    try:
        user = UserStore(coordination).get(environment.ADMIN)
    except NoSuchUser as error:
        raise OperatorError(f"the user {environment.ADMIN}, whose keys bench uses, is not there") from error
    finally:
        coordination.close()
    region = cluster.config.proxy.region
    return System(OWN_NAME, environment.s3_url(cluster.config), user.access_key, user.secret_key, region)
