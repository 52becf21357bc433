"""From what a client sends to prove who it is, to a token.

`request` reads the document of POST /v3/auth/tokens. Each method (`password`, `token`, `application_credential`,
`ec2`) turns its part into `Proof`: who it is, and what bounds a token made from that. `scope` finds out what the
token is to be good for, `granting` puts it together.

Invariant: whatever is wrong, the client reads the same words, after about the same time: neither tells whether there
is such a user.
"""
