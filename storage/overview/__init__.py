"""How a cluster is, for people: asked of its processes and the rings, not remembered. `holdfast status`; the console.

Read first: survey (all of it), then ailments (what processes say of their disks, clocks and replicas) and rings
(shares, roles, how far a change is). Nothing here changes anything, and nothing imports numpy.
"""
