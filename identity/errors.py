"""What can go wrong with users, by what the caller tells the operator."""


class IdentityError(Exception):
    """Base of all below; the text is one sentence for the operator."""


class InvalidName(IdentityError):
    """No user can have this name."""


class UserExists(IdentityError):
    """Choose another name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is already a user {name}")
        self.name = name


class NoSuchUser(IdentityError):
    """There is nobody of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no user {name}")
        self.name = name
