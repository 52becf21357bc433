"""Tokens: what they say, how they are sealed, and whether they hold.

Two ask. The identity service has the database at hand, and asks it each time (`provider`). The proxies have the keys
and what was revoked, followed in coordination (`following`), and decide without waiting for anybody (`validation`): an
outage of the identity service stops nobody who has a token.

Nothing here but `provider` imports the database. Read first: token (values), fernet (the format), revoked, validation.
"""
