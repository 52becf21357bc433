"""Real guests, run by a real agent over libvirt, with disks of a real cluster.

`tiny` makes a disk that boots a tiny guest, from Debian's packages, and `debian` its cloud image, both by `bootable`;
`agents` has the cluster, its agent, and consoles; `clouds` has one with all services.
"""
