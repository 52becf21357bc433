"""The release, and the versions of what outlives a process. Nothing else."""

VERSION = "0.1.0"
DATA_LAYOUT = 2  # of a data directory; another one is refused rather than guessed at
WIRE_PROTOCOL = 2  # the newest that this code speaks (cluster/wire)
