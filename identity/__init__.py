"""Who may do what: the two questions that the proxy asks, and how a bare cluster answers them.

Who is it? `interfaces.Users` finds the user of an S3 access key (whose secret key then proves the
signature) or of a name (`/auth/v1.0`); `tokens` gives out Swift tokens and finds the user of one. May
they? `interfaces.Authorizer` decides about an action on an account. Neither waits: answers come from
memory, so that an outage of what keeps the users does not stop data.

On a bare cluster users live in coordination (`users`), every process follows them (`directory`), and
an account belongs to its users alone (`authorization`).
"""
