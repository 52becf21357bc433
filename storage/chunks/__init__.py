"""Chunks of volumes: the device's side of block storage.

A chunk is 4 MiB of one layer of a volume. Whoever holds the volume's lease writes it, each write on top of the
version before; this package keeps a replica of it.

The invariant: **a replica's chunk is a prefix of its writer's history of that chunk**, at any time, and after any
crash it is one that has at least everything that was flushed.

How a write goes, and what a crash leaves after each step (`kill`: of the process; `power`: of the machine):

1. *admitted*: it is on top of the chunk's newest version, and its writer is not fenced off. Reads see it. It is only in
   memory: a crash leaves nothing of it. Nobody has been told.
2. *written*: its record, metadata and payload, is in the journal's file (page cache). Now it is answered. A kill
   leaves it. A power cut leaves it or not, but of all records a prefix: the journal ends at the first that is torn.
3. *durable*: the journal was fdatasync'ed. Any crash leaves it. FUA writes, fences and flushes are answered here.
4. *applied*: it is in the chunk's file (page cache), and no longer in memory. **Never before it is durable**: the
   kernel writes pages back when and in what order it likes, so a file could otherwise hold, after a power cut, bytes
   of a write of which the journal knows nothing. After a crash the file holds any of the bytes that were applied since
   it was last synced, and the journal has all of them, in order: to apply them again gives the same content.
5. *checkpointed*: the file was fdatasync'ed, then its extended attribute says up to which version, then that is durable
   too, and at last a small file says from where on the journal is needed. Only then segments of the journal go. A
   crash between any two of these leaves a longer part of the journal to be replayed.

Replay applies a record only if its `previous` is the version of the file, as its attribute has it, and of what was
replayed on it; it passes over what the attribute says is there. That is also the rule by which a record was answered,
so replay ends where the process was. A file without a whole attribute was never checkpointed, and is made from
nothing (or from its base, again) by the first record of it.

The checkpoint rule, then: *what a file's attribute claims was synced before it was claimed, and a record goes only
after its file's attribute claims it.* A file that others were cloned from stays until they are checkpointed, for replay
may have to clone them again: to drop chunks begins with a checkpoint.

A copy from a peer (`pulls`) is complete, synced and has its attribute before it gets its name; what is in the journal
for that chunk by then is older than the copy, and replay passes over it. Copying and dropping go on when the request
that asked for it is cancelled (`undisturbed`): a thread may be at the files.

A fence is a record of the journal, durable when it is answered, and goes into the checkpoint's small file.

Damage to what was durable, or a journal that is shorter than its checkpoint says, is reported (`ChunkStore.lost_data`):
the device then does not know what it should have, and does not vote (storage.membership).

Read first: `version` and `chunk` (values and decisions), `record` and `checkpoint` (formats, pure; docs/chunks.md),
`journal`, `files`, `table`, then `destage`, `replay`, `reads`, `pulls`, and `store`, which puts them together. What
housekeeping sees of chunks, and does to them, is in `inventory` and `upkeep` (storage.housekeeping.chunks). `near` is
for other processes of the same host, which may read the files of chunks that are at rest.
"""
