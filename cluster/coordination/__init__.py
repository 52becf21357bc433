"""The small facts on which all processes of a cluster agree: rings, users, who may write what.

Keys with versions and compare-and-set, leases with fencing epochs, watches. Never in the path of a
read or a write of data. `interface` is what everybody programs against; `lease` decides, without
I/O, who holds one; `embedded` keeps it all in one SQLite file, for clusters on one host.

Keys in use: `rings`, `ring-file/…`, `ring-use/…`, `ring-progress/…` (`storage.rings`), `membership/ID`
(`storage.membership`), `builder/NAME` (the builders of the rings, for tools), `user/NAME` (`identity.users`).
"""
