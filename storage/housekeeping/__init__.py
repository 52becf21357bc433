"""What a storage daemon does behind its clients' backs: replicate, add missing rows, report counters.

Each module is one task with a `step()`: one bounded unit of work, resumable, which says when the next is
due. `schedule.Schedule` runs them; a task that fails is logged and tried again.
"""
