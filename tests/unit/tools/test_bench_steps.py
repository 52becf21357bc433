"""tools.bench.steps: which steps there are, and the keys that each uses."""

from itertools import combinations

from tools.bench import steps
from tools.bench.steps import Operation, Step, plan


def test_sizes_count_for_put_and_get_only() -> None:
    found = plan(tuple(Operation), (4096, 1 << 20), (1, 16))
    assert len(found) == len(set(found)) == 2 * 2 * 2 + 2 * 2
    assert {step.size for step in found if step.operation in (Operation.LIST, Operation.DELETE)} == {None}


def test_no_step_of_any_round_uses_the_keys_of_another() -> None:
    puts = [Step(Operation.PUT, size, count) for size in (4096, 1 << 20) for count in (1, 16)]
    deletes = [Step(Operation.DELETE, None, count) for count in (1, 16)]
    used = [set(steps.put_keys(step, index)) for step in puts for index in range(2)]
    used += [set(steps.delete_keys(step, index, seconds=5)) for step in deletes for index in range(2)]
    used += [set(steps.get_keys(size)) for size in (4096, 1 << 20)]
    assert all(a.isdisjoint(b) for a, b in combinations(used, 2))


def test_large_objects_are_few_and_every_connection_has_one() -> None:
    size = 64 << 20
    assert len(steps.put_keys(Step(Operation.PUT, size, 64), 0)) == 64
    assert len(steps.get_keys(size)) == 4
    assert len(steps.get_keys(1 << 40)) == 1


def test_the_listed_bucket_has_as_many_keys_as_a_page() -> None:
    assert len(set(steps.listed_keys())) == 1000
