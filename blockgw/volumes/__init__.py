"""Volumes that are open: one writer each, whose writes reach a quorum of the replicas of each chunk in one order.

`replica.py` says what a device does for us, `chunk.py` is one chunk and the writes that are on their way to it,
`outbox.py` gathers what goes to one device, `opening.py` finds out what is there and makes replicas equal,
`flush.py` makes writes durable, `reading.py` reads: from files of this host, from `cache.py`, from replicas, ahead of
who reads in order (`readahead.py`); `volume.py` is the whole. Read `chunk.py` first.
"""
