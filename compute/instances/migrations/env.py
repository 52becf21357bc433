"""For alembic: the connection is that of `cluster.controlplane.migrations.upgrade`."""

from cluster.controlplane.migrations import run

run()
