"""Measuring: rounds of steps, the systems taking turns; buckets of our own, gone at the end."""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from tools.bench import steps, wrk
from tools.bench.client import Client, System
from tools.bench.results import Samples, size_text
from tools.bench.steps import Operation, Step
from tools.progress import Progress

_LIST_QUERY = (("list-type", "2"), ("max-keys", str(steps.LISTED_KEYS)))


@dataclass(frozen=True, slots=True)
class _Subject:
    """A system with buckets of ours."""

    client: Client
    bucket: str
    listed_bucket: str  # holds the keys that are listed, and nothing else


class Measurement:
    """Measures `systems`, each with the same load."""

    def __init__(self, systems: Sequence[System], plan: Sequence[Step], seconds: int, progress: Progress) -> None:
        self._plan = plan
        self._seconds = seconds
        self._progress = progress
        name = f"bench-{os.urandom(5).hex()}"
        self._subjects = [
            _Subject(Client(system), f"{name}-{index}-objects", f"{name}-{index}-listed")
            for index, system in enumerate(systems)
        ]
        sizes = {step.size for step in plan if step.size is not None} | {steps.SMALL_BYTES}
        self._bodies = {size: os.urandom(size) for size in sizes}

    def run(self, round_count: int) -> Samples:
        """Return what was found, by step and system. Raise OperatorError; the buckets are removed in any case."""
        samples: Samples = {}
        with contextlib.ExitStack() as stack:
            for subject in self._subjects:
                self._create_buckets(subject, stack)
                self._prepare(subject)
            for round_index in range(round_count):
                for index, step in enumerate(self._plan):
                    done = f"round {round_index + 1} of {round_count}, step {index + 1} of {len(self._plan)}"
                    for subject in self._in_turn(round_index):
                        system = subject.client.system
                        self._progress.show(f"{done}: {_step_text(step)}: {system.name}")
                        sample = wrk.run(system.url, system.host, self._load(subject, step, round_index))
                        samples.setdefault((step, system.name), []).append(sample)
        return samples

    def _in_turn(self, round_index: int) -> list[_Subject]:
        first = round_index % len(self._subjects)
        return self._subjects[first:] + self._subjects[:first]

    def _create_buckets(self, subject: _Subject, stack: contextlib.ExitStack) -> None:
        """Create a system's buckets; they are removed when `stack` ends."""
        for bucket in (subject.bucket, subject.listed_bucket):
            subject.client.create_bucket(bucket)
            stack.callback(self._remove, subject.client, bucket)

    def _remove(self, client: Client, bucket: str) -> None:
        self._progress.show(f"removing {bucket} from {client.system.name}")
        client.remove_bucket(bucket)

    def _prepare(self, subject: _Subject) -> None:
        """Store what is read and listed."""
        client = subject.client
        self._progress.show(f"preparing {client.system.name}")
        for size in sorted({step.size or 0 for step in self._plan if step.operation is Operation.GET}):
            client.put(subject.bucket, steps.get_keys(size), self._bodies[size])
        if any(step.operation is Operation.LIST for step in self._plan):
            client.put(subject.listed_bucket, steps.listed_keys(), self._bodies[steps.SMALL_BYTES])

    def _load(self, subject: _Subject, step: Step, round_index: int) -> wrk.Load:
        """Return what to send, and store what it needs."""
        client = subject.client
        keys = self._keys(step, round_index)
        if step.operation is Operation.DELETE:
            client.put(subject.bucket, keys, self._bodies[steps.SMALL_BYTES])
        if step.operation is Operation.LIST:
            method, targets = "GET", [client.presigner.target("GET", f"/{subject.listed_bucket}", _LIST_QUERY)]
        else:
            method = step.operation.value
            targets = [client.presigner.target(method, f"/{subject.bucket}/{key}") for key in keys]
        body = self._bodies[step.size] if step.operation is Operation.PUT and step.size is not None else None
        once = step.operation is Operation.DELETE
        return wrk.Load(method, targets, body, step.connections, self._seconds, once)

    def _keys(self, step: Step, round_index: int) -> list[str]:
        """Return the keys of the objects that a step puts, gets or deletes."""
        if step.operation is Operation.PUT:
            return steps.put_keys(step, round_index)
        if step.operation is Operation.DELETE:
            return steps.delete_keys(step, round_index, self._seconds)
        return [] if step.size is None else steps.get_keys(step.size)


def _step_text(step: Step) -> str:
    size = "" if step.size is None else f" {size_text(step.size)}"
    return f"{step.operation}{size}, {step.connections} connections"
