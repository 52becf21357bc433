"""How fast a lost device is made whole, and what clients notice of it: `make bench-repair`.

A cluster of its own, of processes, in a temporary directory. It is filled; a steady load of small GETs and PUTs is
measured while nothing else happens; a device is killed, its directory emptied, and it is started again; the same load
is measured until all that it should hold is there again, which is looked up through the wire and not believed.
"""
