"""Large containers are split by ranges of names, each in a database of its own. docs/container-splitting.md.

A container has a *root*: the database under the key of its name. While the container is small its rows are there.
When it has grown they move to *range databases*, which are databases like any other: of kind CONTAINER, named by
`pointers.range_database`, placed by the container ring, replicated and compared as all are. The root keeps what a
container is (existence, metadata) and the *pointers*: which range database has the names from which on.

A database whose rows have moved is *moved*: it has pointers, and no rows. Rows and listings are refused there (SPLIT),
with the pointers; whoever asks goes on where they point, and remembers that. A range database can be moved in turn.
It never comes back: its successors have other names. So there is a tree of pointers, and nothing has to change in two
databases at once. Later the root's pointers are replaced by those of the databases at the ends of the tree.

How a database D is moved (`decision`), and what may happen on the way:

1. Range databases are made, on quorums. Crash: nobody points to them, and the next try makes others; they stay.
2. D's rows are copied there, to quorums, while D takes rows and lists. Rows merge: twice does no harm. Crash: as in 1.
3. D is *frozen* under a token on a quorum of its replicas: in memory, for some seconds. Rows wait. One frozen replica
   pulls what the other frozen ones have; the rest is copied. Crash: freezes end by themselves; as in 1.
4. Frozen replicas *accept* the pointers, under a ballot (a timestamp), durably. Only while the token holds, only on
   those whose rows have been copied: from then on that replica refuses rows and listings. When a quorum has accepted,
   it is *decided*. Crash before: some replicas have accepted, and do not know whether that was decided.
5. All replicas are told what was decided. It merges and spreads as metadata does (name MOVED), and their rows are
   dropped. Crash before: as in 4.

Invariants:

- Every row that D ever acknowledges is in the range databases of every value that is decided. For it was on a quorum
  of D, and that meets the quorum that accepted in a replica r. At r it came before the freeze, and was copied in 3 or
  before; or after the acceptance, which is refused; or in between, when the token no longer held (freeze ended or r
  restarted), and then r did not accept.
- At most one value is decided for each state of D. This is single-decree Paxos, with the freeze as the promise: to
  freeze tells what a replica has accepted, and takes every other token away. Whoever finds an acceptance in its frozen
  quorum proposes that value again, under a higher ballot, having copied the rows to it anew. What was accepted for a
  state that has been left, or in an earlier life of the container, does not count (`state.settle`).
- What was accepted and is not known to be decided stays with its replica: it is not pulled, not in the digest. Who
  copies a database to become a replica of it waits until it is settled (`IndexStore.synchronize`).
- A reader of D has the answers of a read quorum that had not accepted when it answered: then nothing was decided before
  the read began, and no row was acknowledged elsewhere. Otherwise it follows what is decided, or waits.
- A range database is for its range only. It may hold rows outside it (two are merged into one, and only the first
  has been moved): so whoever follows a pointer asks for the names of that pointer (IndexList.low, high).

Merging is the same with several sources and one target: the sources are moved one after the other. A container that
was split once keeps its root as root, and at least one range database, until it is deleted.

Counters: a range database reports to the root as containers do to accounts. The root adds up those that it points to.

Deleting a database that has its rows itself, a container that was never split or a range: `deletion`.

Deleting a container that is split: its root is frozen; then all its range databases are deleted, as containers are,
each found empty on a quorum that is frozen; then the root, under the same freeze. A crash in between leaves a container
with range databases that are deleted: they are empty, and take no row again. Whoever needs one replaces it by a new one
(`decision.replace`): a decision about the root like any other, under a freeze of it, so that it and the deletion
exclude each other.
"""
