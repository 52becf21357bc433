"""What somebody can want to do with an account. A value."""

from enum import Enum


class Action(Enum):
    """What somebody wants to do with an account or with something in it."""

    READ = "read"  # objects, listings, and what they say of themselves but for access lists and secrets
    WRITE = "write"  # all else
