"""What puts storage to use, with OpenStack's APIs: images, volumes, and the guests that run from them.

Each service is a package and a process of its own: a WSGI application as `cluster.controlplane` makes them, a database,
chores. What they share is here: `tokens` (who asks, found out without asking the identity service), `policy` (who may
do what), `context` and `service` (a request and its transaction), `errors` (what they refuse), `crew` (threads that
wait for work). Objects are reached as any client reaches them, by boto3; volumes through `gateway`, which speaks of
`stored`, and through `blockgw.client`.
"""
