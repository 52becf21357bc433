"""Block volumes, and the gateway that serves them as NBD.

    errors      what can go wrong with a volume, and the errno that a client is told
    interfaces  what the server needs of a volume: `Export`, and of those who have them: `Exports`
    nbd         the server: codec, handshake, sockets; knows no volume
    catalog     which volumes there are, in coordination
    volumes     an open volume: its writer, over devices
    openings    the volumes that are open here: leases, fences, handing over
    gateway     all that is asked of volumes; `snapshots`, `lifecycle`, `usage` and `maintenance` do it
    settling    replicas agree on a layer before it becomes a snapshot's
    inventory   which chunks there are, by what devices list
    control     the socket on which that is asked, and `client`, for programs
    backup      volumes to buckets, and back

Imports storage (client), ring and cluster; never the proxy.
"""
