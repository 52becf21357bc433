"""The proxy: HTTP in front, quorums of storage devices behind.

    http      the server: heads, bodies and their limits; knows no dialect
    s3, swift the dialects: each a table of operations to small handlers over one object service
    objects   the object service: what a read, a write and a listing promise
    daemon    a worker process; all workers share the ports

A dialect imports http and objects, never the other dialect; objects imports neither.
"""
