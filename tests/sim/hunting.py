"""Hunts mutants: seeds are simulated with one rule left out, until one of them notices."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.sim.runner import BROKEN, verdicts
from tests.sim.simulation import Verdict

PROGRESS = 25  # seeds from one line to the next

Mutated = Callable[[str], Callable[[int], Verdict]]  # the name of a mutant -> what simulates a seed with it, and ends


@dataclass(frozen=True, slots=True)
class Mutant:
    """One rule that is left out."""

    name: str
    rule: str  # what is left out, for people
    apply: Callable[[], None]
    seeds: Callable[[int], bool] = lambda _seed: True  # those in which it can show at all


@dataclass(frozen=True, slots=True)
class Catch:
    """What came of a mutant."""

    mutant: Mutant
    seed: int | None  # that caught it
    tried: int
    broken: int  # of these ended without a verdict: as many as tried, and the mutant does not fit the code any more
    violation: str
    seconds: float


def hunt(one: Mutant, mutated: Mutated, seeds: int, jobs: int) -> Catch:
    """Run a mutant until one catches it of the first `seeds` seeds in which its rule can matter."""
    began, tried, broken = time.monotonic(), 0, 0
    chosen = itertools.islice((seed for seed in itertools.count(1) if one.seeds(seed)), seeds)
    running = verdicts(chosen, jobs, mutated(one.name))
    for tried, verdict in enumerate(running, 1):
        if tried % PROGRESS == 0:
            print(f"{one.name}: {tried} seeds, {time.monotonic() - began:.0f} s", flush=True)
        if verdict.passed:
            continue
        if not verdict.violations[0].startswith(BROKEN):
            running.close()  # type: ignore[attr-defined]
            return Catch(one, verdict.seed, tried, broken, verdict.violations[0], time.monotonic() - began)
        print(f"{one.name}: seed {verdict.seed}: {verdict.violations[0]}", flush=True)
        broken += 1
    return Catch(one, None, tried, broken, "", time.monotonic() - began)


def hunt_all(chosen: Sequence[Mutant], mutated: Mutated, seeds: int, jobs: int) -> int:
    """Hunt mutants and print the table; return 1 when one gets away."""
    catches = []
    for number, one in enumerate(chosen, 1):
        catch = hunt(one, mutated, seeds, jobs)
        catches.append(catch)
        result = "NOT CAUGHT" if catch.seed is None else f"caught by seed {catch.seed}"
        tried = f"{catch.tried} tried" + (f", {catch.broken} of them without a verdict" if catch.broken else "")
        print(f"{number}/{len(chosen)} {one.name}: {result}, {tried}, {catch.seconds:.0f} s", flush=True)
        print(f"    {catch.violation[:160]}", flush=True)
    print("\n".join(["", *table(catches)]))
    return 0 if all(catch.seed is not None for catch in catches) else 1


def table(catches: Sequence[Catch]) -> Iterator[str]:
    """Yield the rows of a table."""
    yield "| left out | mutant | caught by seed | shown as |"
    yield "|---|---|---|---|"
    for catch in catches:
        seed = "**not caught**" if catch.seed is None else str(catch.seed)
        shown = catch.violation.split("\n")[0][:120].replace("|", "\\|")
        yield f"| {catch.mutant.rule} | `{catch.mutant.name}` | {seed} | {shown} |"
