"""What a storage daemon does behind its clients' backs: replicate, add missing rows, report counters, move partitions.

When rings change, `join` copies what a device is to hold and `retire` drops what it holds no more. `pull` (objects of
one device compared with another's), `shares` (who compares what), `keyrange` and `throttle` are what tasks share.

Each other module is one task with a `step()`: one bounded unit of work, resumable, which says when the next is
due. `schedule.Schedule` runs them; a task that fails is logged and tried again.
"""
