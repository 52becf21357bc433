"""Block volumes, and the gateway that serves them as NBD.

    errors      what can go wrong with a volume, and the errno that a client is told
    interfaces  what the server needs of a volume: `Export`, and of those who have them: `Exports`
    nbd         the server: codec, handshake, sockets; knows no volume

Imports storage (client), ring and cluster; never the proxy.
"""
