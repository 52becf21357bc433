"""The log of a device: the one durability primitive that blobs and indexes stand on.

What it promises:

- A record is *durable* when its future resolves: written and fdatasync'ed. It is applied (the users'
  indexes know it) before that, and never before it is durable. Records become durable in log order.
- After a crash the log holds every durable record, and of the others a prefix at most: nothing behind
  a gap comes back. Damage to records that were durable is told apart from a torn tail, and reported.
- Appends gather while the last fdatasync runs and go out together; nothing waits for a timer.
- After a failed fdatasync nothing is acknowledged any more: a retry would find the kernel's error
  state cleared and the data gone.

Read first: `interface` (positions, records, `Log`), then `record` and `segment` (the formats, pure;
docs/log-format.md), `walk` (what a segment holds after a crash, pure), `writer` (what is written
when), `committer` (its thread), `recovery`, `reader`, and `device`, which puts them together.
"""
