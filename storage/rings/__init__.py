"""Which rings are in force: published as numbered versions, taken over by running daemons, changed in stages.

A change of a ring moves partitions, and a quorum means something only while its members hold the data.
So a change is a walk over versions of one document (document), each of which must be in force before the
next: see `Stage`. Invariant: at every moment, any quorum of writers that is still accepted and any
quorum that somebody reads from meet in a replica that holds the data.

Nobody drives a change from outside: whoever begins it publishes the first version and may go away. Daemons take
each version over (follower), devices copy what they are to hold (storage.housekeeping.join), one of them
moves the document on (conductor), and devices drop what they hold no more (storage.housekeeping.retire).
What all of them need to know is in coordination, so any of them may be killed at any point and goes on later.

Read first: document. Values: document, reports, moves. Decisions: conductor. Shells: store, follower.
"""
