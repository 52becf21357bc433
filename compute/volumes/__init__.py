"""The volume service: OpenStack's Cinder v3 over the block gateway.

A volume is a volume of the gateway (`blockgw`), a snapshot one of its snapshots, and a volume that is made of a
snapshot, an image or a volume is a clone: there in no time, whatever its size. What guests reach it by is NBD.

- What clients see is in a database. One request is one transaction; what it asks of the gateway is an *operation*,
  noted in the same transaction and carried out after it (`operations`). So nothing is begun that is not known of, and
  what a crash interrupts is done again, or undone: no volume is lost, none is left over, none stays "creating".
- Usage is counted over the rows themselves, within the transaction that adds one (`quotas`): there is no counter that
  could be wrong. What is being made counts; an extension reserves the difference.
- Who may use a volume is a row in `attachments`, of which a volume has one at a time unless it is made for several: the
  database refuses a second one. Volume and attachment change in one transaction.
- What was deleted but is still read through by clones remains a while, out of sight (`remains`).

Read first: schema, statuses, then a noun (`volumes`), its operations (`operations.creation`) and its API
(`api.volumes`). `backend` says what is needed of the gateway, of backups and of images; `compute.gateway`,
`moving` and `image_service` do it. Left out: groups, replication, migration between hosts, managing foreign volumes.
"""
