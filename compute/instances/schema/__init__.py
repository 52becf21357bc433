"""All tables of the compute service; a module per noun, which `metadata` has all of."""

from compute.instances.schema import (
    aggregates,
    devices,
    flavors,
    groups,
    hosts,
    key_pairs,
    quotas,
    servers,
    usage,
)
from compute.instances.schema.base import metadata
from compute.operations.table import operations

__all__ = [
    "aggregates",
    "devices",
    "flavors",
    "groups",
    "hosts",
    "key_pairs",
    "metadata",
    "operations",
    "quotas",
    "servers",
    "usage",
]

operations.to_metadata(metadata)
