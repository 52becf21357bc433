"""The storage node: one device's objects and databases, durable, and what keeps its replicas whole.

What it promises to its peers: what it has acknowledged is on disk (`log`: group commit, the one durability
primitive); what it hands out matches its checksum; per name the newest timestamp wins, whatever the
order of messages; and a version or a row that it missed is pulled from a replica (`housekeeping`).

Read first: messages (what peers say to each other) and metadata, then log, blobs (objects), indexes
(containers and accounts), service (operations -> these), daemon (the process). `client` and `quorum` are
for whoever asks several devices: the proxy, the block gateway, and housekeeping itself.
"""
