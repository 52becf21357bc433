"""What is done to volumes in the background: nothing of it changes what a client reads.

`flatten.py` makes a clone independent of its parent, `merge.py` gives back the layers of deleted snapshots,
`garbage.py` drops layers that nobody reads, `upkeep.py` begins each of them when it is due. What is to be done is
read from the catalog, so whoever was interrupted, or somebody else, goes on. `jobs.py` is what people see of it.
"""
