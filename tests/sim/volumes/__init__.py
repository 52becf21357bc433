"""Volumes in the simulator: gateways that compete for them, the devices under them, and whether they are disks.

`python -m tests.sim.volumes`, or `make sim-volumes`. Read docs/simulator-volumes.md first, then `run`, `workload` (what
guests and operators do) and `disk_semantics` (what they may find). Time, disks, network, threads and coordination are
those of tests.sim.
"""
