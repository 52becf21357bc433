"""Placement: which devices hold a name. Pure; imports nothing of ours.

A name hashes to one of 2^part_power partitions (hashing); a ring tells the devices of each partition
(lookup), as the builder placed them: in proportion to weight, no two replicas on one device, spread
over regions, then zones, then nodes. Terms and guarantees are those of OpenStack Swift's ring.

Daemons look up; operators build. So `lookup`, `device`, `hashing` and `file` do without numpy, which
costs a process 13 MB, and only the modules around `builder` import it.

Read first: device, lookup, builder. Values: device, topology. Decisions: placement, builder.
Codecs: file, builder_file, over one envelope. Shell: cli.
"""
