"""The tables of the compute service, which the modules beside add theirs to.

Projects and users are known by id alone; the identity service has them.
"""

from cluster.controlplane.columns import new_metadata

metadata = new_metadata()
