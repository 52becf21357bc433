"""What a storage daemon does behind its clients' backs: replicate, add missing rows, report counters, move partitions.

When rings change, `join` copies what a device is to hold and `retire` drops what it holds no more. `pull` (objects of
one device compared with another's), `shares` (who compares what), `keyrange` and `throttle` are what tasks share.

What is garbage goes by `reclaim` (old tombstones), `expire` and `orphans` (parts of S3 uploads; `hidden`: where to look
for them); `deletion` deletes one version and nothing else, `bookmark` keeps a position over restarts.

Each other module is one task with a `step()`: one bounded unit of work, resumable, which says when the next is
due. `schedule.Schedule` runs them; a task that fails is logged and tried again.
"""
