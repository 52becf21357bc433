"""Which volumes there are: their names, sizes, layers and snapshots, as documents in coordination.

`volume.py` has the values and what may be done to them, pure; `record.py` their form in bytes; `store.py` reads and
changes them, each by one compare-and-set of one document. Nothing here touches data: a layer of a volume that is gone,
or was never used, is nobody's, and housekeeping drops it.
"""
