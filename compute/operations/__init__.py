"""Operations: what is asked of others, noted first, carried out after the commit, again after a crash.

An operation is a row (`table`, `journal`): a kind, what it is about, and all that it takes to carry it out. It is
written in the transaction of the request, with the state that clients see meanwhile, and deleted in the transaction
that sets the state in the end. In between `worker` has a kind's `perform` called; what that does can be done again
from its beginning. When it cannot be done, this is noted, too, and `fail` clears up what was begun and sets the state
of error.

So there is no moment at which a process may not be killed: before the commit nothing was begun; after it the row is
there until all is done or undone. A process that starts takes over what it had before; what another one does not renew
for a while is anybody's.

`work` is what a kind works with. Each service has its own kinds, and its own table in its own database.
"""
