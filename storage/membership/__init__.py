"""Who may vote: whether a device is the one that it was, and has what it acknowledged.

A quorum means something only while replicas remember what they acknowledged. A device has an identity (the id of its
log, made with it) and an incarnation (a number that grows with every start), both known to coordination, and to the
device by a small file beside its data. Whoever comes back empty, as an older copy of itself, or after losing what it
had synced, is *rebuilding*: it takes writes and copies, and answers no read of a partition until that partition is
whole again (storage.housekeeping.rebuild).

Invariants:

- A device serves only as the incarnation that coordination has for it.
- One that lost data, and knows or could know it by now, is `rebuilding` in coordination before it serves, or from the
  moment on when it finds out.
- What coordination calls `whole` has, of every partition it held when its rebuilding began, all that was
  acknowledged before; or an operator has accepted the loss.

Not told apart from the device itself: a copy of its directory that was made since its last start, when its log has come
no further than coordination has been told since (`Member.position`, each half minute and at a clean stop).

Values: record (what coordination and the file say), votes (what is refused meanwhile). Decision: decision. Shells:
store (coordination), local (the file), roster (what others are), membership (all of it, for one device).
docs/membership.md tells it to operators.
"""
