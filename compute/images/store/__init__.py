"""Where contents are kept. `interface` is what the service needs of it, `s3` the objects of this cluster, by boto3."""
