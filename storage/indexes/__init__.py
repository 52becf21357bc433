"""Container and account databases of one device: listings that show every acknowledged row.

What it promises:

- A row is durable, in the device's log, when `IndexStore.rows` has answered, and every read that begins
  after that shows it, or something newer of the same name.
- The state of a database is a join of all that it was ever told (`change`): newest timestamp wins, per
  row and per metadata name. The order and the repetition of messages do not matter, so replicas that
  exchange what they have become equal, and replay after a crash needs no bookkeeping per record.
- A listing costs what it returns: tombstones and the rows behind a common prefix are never walked.

How a row travels: log record -> durable -> `pending` in memory, on the loop's thread -> SQLite, in
batches, on the one database thread of the device. A read merges what is pending of its database first.

What a crash leaves, point by point. `position` is the log position in the catalog; recovery
replays every index record from it on.

1. Before the record is durable: nobody was answered; the row may come back or not.
2. Durable, not merged: the record lies behind `position`, and is replayed.
3. Merged, database not checkpointed. Databases are in WAL mode with synchronous=NORMAL: a commit does not
   sync, so a power loss takes the newest commits away, never consistency. They are replayed, as in 2;
   where they survived (kill -9), replay changes nothing.
4. Created, not checkpointed: after a power loss the file may be anything, or absent. It is not in the
   catalog then, and all of its records lie behind `position`: recovery deletes it and replays.
5. In a checkpoint: databases first (WAL synced, copied, file synced, directory synced), then the
   catalog, in one transaction that names them and moves `position`, then synced itself. Until that is on
   disk the old catalog stands, and replay begins earlier than it would have to.
6. After it: `Log.hold` lets the log drop what is before `position`.

7. Forgotten, because its partition has moved away: the databases are checkpointed, so that nothing behind
   `position` is of theirs; the catalog forgets them, synced; their files are deleted. A crash in between leaves
   files that are not in the catalog, as in 4.

Sequences count changes of a database for peers that pull them, and must not be used twice. Rows lost in 3
and replayed would get used ones, so replay leaves a gap (`database.SEQUENCE_GAP`) before it changes rows.
Freezes are in memory only (`freezes`): a deletion that a restart interrupts finds its token gone and starts over.

Read first: `change` (what is merged, and how; pure), `record` and `schema` (formats;
docs/index-format.md), `listing` (the query), `database` (one file), `shelf` (all of them: what the
database thread does), `state` (what the loop knows of one), `pending` (between the log and the files), `admission`
and `freezes` (what is taken), `store` (the shell, and the API).
"""
