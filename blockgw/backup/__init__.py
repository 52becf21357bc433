"""Backups of volumes to a bucket of any S3, or a container of any Swift.

The format is in docs/backup-format.md. What is promised:

- a backup has a manifest, which is written last, or does not exist; every manifest names all pieces of the volume;
- pieces are called by their content: none is changed, none is sent twice, each is checked when it is read;
- a piece that a manifest names is not deleted: backups and deletions take turns (`lock`);
- what is interrupted anywhere is gone on from, or leaves nothing but pieces that nobody names.

Nothing here needs a cluster but `nbd`, and what implements `volume.Volume`. Read `piece` and `manifest` (codecs),
`repository` (which objects there are), then `taking`, `restoring` and `deleting`. `cipher` and `key` seal; `target` is
what is asked of S3 (`target_s3`) and Swift (`target_swift`).

It waits in threads, not in an event loop: it is run by commands, boto3 waits so, and what takes time beside the
network, hashing and compression, lets other threads run meanwhile.
"""
