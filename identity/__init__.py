"""Who may do what: the two questions that the proxy asks, and how a bare cluster answers them.

Who is it? `interfaces.Users` finds who signs with an S3 access key (whose secret key then proves the signature) or has
a name (`/auth/v1.0`); `interfaces.Tokens` whose a token is. May they? A `Principal` says what it may do in an account,
and what access lists call it. Nothing waits: answers come from memory, so that an outage of what keeps the users does
not stop data.

On a bare cluster users live in coordination (`users`), every process follows them (`directory`), and `tokens` are made
and verified with their keys. Beside that, where it is enabled, is the identity service: `keystone`. Of it the proxy
uses `keystone.access` only, which knows no database. `tiers` puts the two together.
"""
