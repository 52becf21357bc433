"""The object service: accounts, containers, objects and large objects, over quorums of storage devices.

What it promises (ARCHITECTURE.md, "Consistency"):

- A name is a linearizable register. A write is acknowledged when a quorum of the name's primaries has
  it on disk; a read answers with a version that a quorum holds, writing it back first where it must.
- A listing shows every object whose PUT was acknowledged before the listing began, and no object
  whose DELETE was. The object comes first, its row second, the acknowledgement last.
- What was refused or cut short leaves nothing behind. A write that found too few replicas once it had been
  sent (503) may still take effect, as one whose answer was lost may.

All of it holds while the rings change under it: each round goes by one version of them (storage.client, register).

Read first: model (values), storage.quorum (decisions), register (one name), databases and directory (containers and
accounts), then service, which puts them together; manifests and multipart stand on the service.
"""
