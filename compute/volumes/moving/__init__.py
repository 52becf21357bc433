"""Moving data: backups, restores, copies, images that are uploaded. Each is done by a process of its own.

The service itself answers requests with green threads, which hashing and compression would keep waiting. `parent` is
the service's side, and has the interfaces of `backend`; `child` is what runs there: `python -m
compute.volumes.moving.child` reads one task as a line of JSON, and writes one line with what came of it. It ends when
the service ends, however that does: whoever comes next begins the task again.
"""
