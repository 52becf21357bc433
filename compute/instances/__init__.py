"""The compute service: OpenStack's Nova v2.1 over agents, one on each host (`compute.agent`).

A server is a guest on a host, whose disks are volumes of the block gateway. What clients see is in a database; one
request is one transaction, and what it asks of others (a host, the network, the volume and the image service, the
gateway) is an *operation*, noted in the same transaction and carried out after it (`compute.operations`). So no crash
leaves a guest, a port, a lease or a volume that nobody knows of.

A server that boots from an image has a disk of its own: a clone of the image's golden snapshot, which takes no time and
no room, in the gateway alone; users do not see it as a volume. It goes with the server.

Read first: schema, statuses, then a noun (`servers`, `flavors`), its operations and its API (`api.servers`).
"""
