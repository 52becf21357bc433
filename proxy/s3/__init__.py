"""Amazon S3's API over the object service: a table of operations, each a small handler.

A bucket is a container of the caller's account; bucket names are global, and only their owner may use
them. Everything that a client can say is checked here, before the object service sees it; what S3 has
and we have not is refused by name (NotImplemented), never ignored. What clients see is docs/s3.md.

Read first: operations (the table), call (what a handler gets), application (from request to response).
Source throughout: Amazon S3 API Reference, version 2006-03-01, and botocore's model of it.
"""
