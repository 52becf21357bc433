"""Real guests, run by a real agent over libvirt, with disks of a real cluster.

`tiny` makes a disk that boots a tiny guest, from Debian's packages; `agents` has the cluster, its agent, and consoles.
"""
