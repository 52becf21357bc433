"""What the volume service refuses, by what the caller can do about it."""

from http import HTTPStatus

from compute import errors
from compute.errors import ComputeError, Conflict, Forbidden, Unavailable

__all__ = ["Conflict", "Forbidden", "Invalid", "NotFound", "Outdated", "OverQuota", "Unavailable"]


class NotFound(errors.NotFound):
    """There is no such thing, or nobody may tell whether there is."""

    def __init__(self, what: str, identifier: str) -> None:
        super().__init__(f"{what} {identifier} could not be found.")
        self.what, self.identifier = what, identifier


class Invalid(errors.BadRequest):
    """The request contradicts itself, or the state of what it is about."""


class OverQuota(errors.OverLimit):
    """The project has as much as it may have."""


class Outdated(ComputeError):
    """What the client has seen was changed by somebody else."""

    status = HTTPStatus.PRECONDITION_FAILED


def invalid_volume(why: str) -> Invalid:
    """Return the refusal of what a volume is not in the state for."""
    return Invalid(f"Invalid volume: {why}")


def invalid_snapshot(why: str) -> Invalid:
    """Return the refusal of what a snapshot is not in the state for."""
    return Invalid(f"Invalid snapshot: {why}")


def invalid_backup(why: str) -> Invalid:
    """Return the refusal of what a backup is not in the state for."""
    return Invalid(f"Invalid backup: {why}")


def invalid_input(why: str) -> Invalid:
    """Return the refusal of values that cannot be."""
    return Invalid(f"Invalid input received: {why}")
