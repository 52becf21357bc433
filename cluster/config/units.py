"""Units of settings, and limits that several have."""

from cluster.settings import Limits

KiB = 1 << 10
MiB = 1 << 20
GiB = 1 << 30
DAY_S = 24 * 3600.0

LOOPBACK = "127.0.0.1"
PORT = Limits(1, 65_535)
