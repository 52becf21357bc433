"""`holdfast bench`: the same S3 load on this cluster and, alternating, on others.

wrk sends requests that were signed beforehand, so that what is measured is the servers and not the
client. All systems see the same keys, bodies and order. Within a round they take turns step by step, and
each round begins with another of them: what else the machine does then meets all alike.

Read first: `steps` (what is measured), then `presign` (pure), `wrk` (running it, and its figures), `client`
(what comes before and after a measurement), `results` (pure), `measure` and `command`. `alone` is what
`make bench` runs: a cluster of its own, measured and thrown away.
"""

from tools.bench.command import add_arguments, run

__all__ = ["add_arguments", "run"]
