"""The choice: all filters, then all weighers; of equals the first by name."""

from collections.abc import Sequence

from compute.instances.scheduler.candidates import Candidate, Demand
from compute.instances.scheduler.filters import FILTERS
from compute.instances.scheduler.weighers import WEIGHERS


def choose(hosts: Sequence[Candidate], demand: Demand) -> Candidate | None:
    """Return the host where a server goes; None: no host can have it."""
    if demand.forced_host is not None:
        return next((each for each in hosts if each.name == demand.forced_host and each.name not in demand.tried), None)
    left = [each for each in hosts if all(passes(each, demand) for passes in FILTERS)]
    return min(left, key=lambda each: (-weight(each, demand), each.name), default=None)


def weight(host: Candidate, demand: Demand) -> float:
    """Return how well a host would do."""
    return sum(weigh(host, demand) for weigh in WEIGHERS)


def why_not(hosts: Sequence[Candidate], demand: Demand) -> str:
    """Return, in words for operators, how many hosts each filter has left."""
    told, left = [f"{len(hosts)} hosts"], list(hosts)
    for passes in FILTERS:
        left = [each for each in left if passes(each, demand)]
        told.append(f"{passes.__name__} leaves {len(left)}")
        if not left:
            break
    return ", ".join(told)
