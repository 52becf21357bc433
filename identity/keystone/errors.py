"""What the identity service refuses, by what the caller can do about it. Statuses are in `api/failures`."""


class KeystoneError(Exception):
    """Base of all below; the text is for the client."""


class NotFound(KeystoneError):
    """There is no such thing, or nobody may tell whether there is."""

    def __init__(self, what: str, identifier: str) -> None:
        super().__init__(f"Could not find {what}: {identifier}.")
        self.what, self.identifier = what, identifier


class Conflict(KeystoneError):
    """Somebody else has the name already."""

    def __init__(self, what: str, words: str) -> None:
        super().__init__(f"Conflict occurred attempting to store {what} - {words}.")
        self.what = what


class BadRequest(KeystoneError):
    """The request contradicts itself, or the rules for what it wants to store."""


class Forbidden(KeystoneError):
    """The caller may not, or nobody may in the present state of things."""


class Immutable(Forbidden):
    """The resource is protected by its own option `immutable`."""

    def __init__(self, verb: str, what: str, identifier: str) -> None:
        super().__init__(
            f"Unable to {verb} immutable {what} resource: `{identifier}. "
            'Set resource option "immutable" to false first.'
        )


class Unauthorized(KeystoneError):
    """Who asks has not proved who it is."""

    def __init__(self, words: str = "The request you have made requires authentication.") -> None:
        super().__init__(words)


class LockedOut(Unauthorized):
    """Too many wrong passwords in a row; to be tried later. The client reads the same as for a wrong password."""


class PasswordExpired(Unauthorized):
    """The password was right, and has to be changed first."""

    def __init__(self, user_id: str) -> None:
        super().__init__(f"The password is expired and needs to be changed for user: {user_id}.")
        self.user_id = user_id
