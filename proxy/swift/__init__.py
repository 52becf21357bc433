"""The Swift dialect: OpenStack's object storage API v1, over the object service.

`SwiftApplication` takes a request to the handler that a table names; a handler checks who asks,
turns headers into values, calls the object service once or twice and turns values into headers.
There is no state between requests.

- Paths, names and limits: `names.py`, `limits.py`, `parameters.py`; headers: `headers.py`.
- Who may: `auth.py` (tokens), `acl.py` and `account_acl.py` (the lists, pure), `access.py` (all brought together),
  `tempurl.py` and `formpost.py` (whoever has a signed URL or form).
- Nouns: `info.py`, `accounts.py`, `containers.py`, `objects.py` (writing, with `creation.py`), `reading.py`
  (with `judgement.py`: conditions), `copy.py`, `slo.py` and `manifest.py` (static large objects), `large.py`
  (who may read what one is made of), `numbered.py` (one segment of it), `symlink.py`, `bulk.py` and `tar.py`,
  `quotas.py`, `cors.py`.
- Containers as web sites: `staticweb.py`, `webpage.py` (their listings, pure).
- What is answered: `listing.py` (asked for by `queries.py`), `byteranges.py`, `report.py`, `heartbeat.py`,
  `errors.py`: one table from what the service raises to a status.

Invariants: nothing of another user's is told before access is checked; a body is read to its end or
nothing is stored; values of internal headers come from us alone.

Source of behaviour: the API reference at docs.openstack.org/api-ref/object-store, and what
Swift 2.3x answers where that is silent. Differences are listed in docs/swift.md.
"""
