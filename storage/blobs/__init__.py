"""Objects on one device: BLOB_* and ROWS_CONFIRM of `storage.messages`.

What it promises:

- A version is visible when it is durable, never before, and then until a newer one is.
- The newest timestamp wins; per key, the log holds versions in the order of their timestamps.
- Small objects live in the log. A larger one is a file, complete and durable, with its identity and
  the checksums of its blocks, before the log record that makes it visible is written; the file of
  a superseded version goes only when the newer record is durable.
- Nothing is handed out that does not match its checksum.
- The LMDB index holds nothing that cannot be made again from log and files, and is trusted only when
  it is known to be whole (`trust`).

Read first: `record` and `entry` (formats, pure; docs/blob-format.md), `index` (what a durable batch does
to the index), `store` (the operations), `upload` and `files` (large objects), `reader`.
"""
