"""Placement: which devices hold a name. Pure; imports nothing of ours.

A name hashes to one of 2^part_power partitions (hashing); a ring tells the devices of each partition
(lookup), as the builder placed them: in proportion to weight, no two replicas on one device, spread
over regions, then zones, then nodes. Terms and guarantees are those of OpenStack Swift's ring.

Daemons look up; operators build. So `lookup`, `device`, `hashing` and `file` do without numpy, which
costs a process 13 MB; whatever works on placements has them as numpy arrays.

Read first: device (written as in notation), lookup, builder. Then, what a rebalance does, in its order:

    topology    the tree of what fails together, as arrays
    targets     what each tier should hold: weight, dispersion, overload, in whole replicas (quotas)
    grid        a placement as one array, and what can be counted of it
    first       the first placement, which meets every quota
    gather      later: which replicas must or should move; room: how far tiers are from their quotas
    place       where they go; relay: chains of moves for the few that found no place
    placement   the order of these

Files: file and builder_file (ours, over envelope and planes), swift_ring and swift_builder (Swift's; safe_pickle
reads without executing), formats (which of them). Studies: change, moves, exposure and plan (what a rebalance
would do, and what it would put at risk), analysis (scenarios), composite and cooperation (rings made of
rings), drawing. The command line: cli.
"""
