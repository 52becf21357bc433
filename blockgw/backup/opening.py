"""From a URL to a target. Only the module of the kind that is asked for is imported: boto3 takes a while to load."""

import importlib
from collections.abc import Mapping

from blockgw.backup.target import Address, Target
from blockgw.backup.workers import WORKERS

# each has `opened(address, endpoint, env, connections) -> Target`
_KINDS = {"s3": "blockgw.backup.target_s3", "swift": "blockgw.backup.target_swift"}


def open_target(
    address: Address, endpoint: str | None, env: Mapping[str, str], connections: int = 2 * WORKERS
) -> Target:
    """Return the target of an address. `endpoint`: of S3, or of the service that gives tokens for Swift.

    `env` says whom to log in as to Swift; S3's keys are found by boto3, as ever. Raise BackupError.
    """
    target: Target = importlib.import_module(_KINDS[address.scheme]).opened(address, endpoint, env, connections)
    return target
