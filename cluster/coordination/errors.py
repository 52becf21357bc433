"""What can go wrong in coordination, by what the caller does next."""


class CoordinationError(Exception):
    """Base of all below."""


class Unavailable(CoordinationError):
    """The backend does not answer: try again later. A change may or may not have been made."""


class Conflict(CoordinationError):
    """The key is not at the expected version: read it again and decide anew."""

    def __init__(self, key: str, expected: int, actual: int) -> None:
        super().__init__(f"{key} is at version {actual}, not {expected}")
        self.key, self.expected, self.actual = key, expected, actual


class LeaseHeld(CoordinationError):
    """Somebody else holds the lease: wait, or do without."""

    def __init__(self, name: str, holder: str, remaining_s: float) -> None:
        super().__init__(f"lease {name} is held by {holder} for another {remaining_s:.1f} s")
        self.name, self.holder, self.remaining_s = name, holder, remaining_s


class LeaseLost(CoordinationError):
    """The lease has ended or went to another holder: stop at once what it allowed."""

    def __init__(self, name: str, epoch: int) -> None:
        super().__init__(f"lease {name} of epoch {epoch} is lost")
        self.name, self.epoch = name, epoch
