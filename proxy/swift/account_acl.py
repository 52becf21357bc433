"""Account access lists (X-Account-Access-Control): who else may read, write or administer an account. Pure.

Source: "Account ACLs" in the documentation of Swift's tempauth. The list is a JSON object: by level (admin, read-write,
read-only) the names of users, as in a container's lists but without wildcards.
"""

import json
from collections.abc import Collection
from enum import IntEnum

HEADER = "x-account-access-control"


class Level(IntEnum):
    """What a list lets somebody do; each includes those before."""

    NONE = 0
    READ_ONLY = 1  # listings, objects, and metadata but for secrets and access lists
    READ_WRITE = 2  # containers and objects made, changed and deleted
    ADMIN = 3  # what the owner may


_KEYS = {"admin": Level.ADMIN, "read-write": Level.READ_WRITE, "read-only": Level.READ_ONLY}


def clean(header: str) -> str:
    """Return a list as it is stored and shown, empty when it names nothing. Raise ValueError when it is none."""
    text = header.encode("latin-1").decode("utf-8", "replace")
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"Syntax error in input ({text!r})")
    for key, names in found.items():
        if key not in _KEYS:
            raise ValueError(f"Key {json.dumps(key)} not recognized")
        if not isinstance(names, list):
            raise ValueError(f"Value for key {json.dumps(key)} must be a list")
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f"Elements of {json.dumps(key)} list must be strings")
    return json.dumps(found, separators=(",", ":"), sort_keys=True) if found else ""


def level_of(stored: str, names: Collection[str]) -> Level:
    """Return what a list lets somebody do who is called any of `names`."""
    if not stored:
        return Level.NONE
    called = {name for name in names if "*" not in name}
    granted = [_KEYS[key] for key, listed in json.loads(stored).items() if not called.isdisjoint(listed)]
    return max(granted, default=Level.NONE)
