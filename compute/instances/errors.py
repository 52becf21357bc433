"""What the compute service refuses, by what the caller can do about it."""

from http import HTTPStatus

from compute import errors
from compute.errors import Conflict, Forbidden

__all__ = ["Conflict", "Forbidden", "Invalid", "NotFound", "NotOffered", "OverQuota", "Unfit"]


class NotFound(errors.NotFound):
    """There is no such thing, or nobody may tell whether there is."""

    def __init__(self, what: str, identifier: str) -> None:
        super().__init__(f"{what} {identifier} could not be found.")
        self.what, self.identifier = what, identifier


class Invalid(errors.BadRequest):
    """The request contradicts itself, or names what cannot be."""


class Unfit(Conflict):
    """The state of a server does not allow what is asked."""

    def __init__(self, action: str, server_id: str, what: str, state: str) -> None:
        super().__init__(f"Cannot '{action}' instance {server_id} while it is in {what} {state}")


class NotOffered(errors.ComputeError):
    """No host of this service does that."""

    status = HTTPStatus.NOT_IMPLEMENTED

    def __init__(self, what: str) -> None:
        super().__init__(f"The requested functionality is not supported: {what}.")


class OverQuota(errors.Forbidden):
    """The project has as much as it may have. Nova answers 403."""
