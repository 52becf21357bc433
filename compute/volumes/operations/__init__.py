"""What is asked of the gateway, as operations: see `compute.operations`.

Kinds: creation, deletion, snapshotting, extension, reversion, retyping, uploading, imaging, backing_up, restoring,
dismissing; `kinds` is the list of them. `work` is what they work with.
"""
