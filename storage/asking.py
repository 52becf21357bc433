"""One message to several replicas of a database, and all their answers: for work that waits for every one of them."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from cluster.wire import RemoteError, Reply
from storage.client import Placement, Replicas
from storage.messages import Operation, Refusal

TIMEOUT_S = 10.0

Answers = Mapping[int, Reply | BaseException]  # by device id


async def ask(
    placement: Placement,
    replicas: Replicas,
    members: Iterable[tuple[int, Any]],
    operation: Operation,
    message: Any,
    timeout_s: float = TIMEOUT_S,
) -> Answers:
    """Return what `members` of `replicas` answer. When one has newer rings, they are taken over for the next time."""
    calls = {
        device_id: peer.call(operation, message, b"", timeout_s, replicas.version) for device_id, peer in members
    }
    answers = dict(zip(calls, await asyncio.gather(*calls.values(), return_exceptions=True), strict=True))
    for answer in answers.values():
        if isinstance(answer, RemoteError) and answer.code == Refusal.STALE_RINGS:
            placement.refresh(answer.detail)
    return answers


def replies_of(answers: Answers) -> dict[int, Any]:
    """Return what those say who did not refuse, by device id."""
    return {device_id: answer.metadata for device_id, answer in answers.items() if isinstance(answer, Reply)}


def refusals_of(answers: Answers, code: Refusal) -> dict[int, Any]:
    """Return the details of those who refused with `code`, by device id."""
    return {
        device_id: answer.detail
        for device_id, answer in answers.items()
        if isinstance(answer, RemoteError) and answer.code == code
    }


def failures_of(answers: Answers) -> str:
    """Return in words who did not do what was asked."""
    failed = {device_id: answer for device_id, answer in answers.items() if not isinstance(answer, Reply)}
    return "; ".join(f"device {device_id}: {error}" for device_id, error in sorted(failed.items()))
