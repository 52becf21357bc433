"""OpenStack's own tests of its APIs, tempest, against a cluster that is made for them: `make tempest`.

tempest comes from PyPI into an environment of its own. What passes and what does not is a table in docs/openstack.md,
written from the result; `known` says why a test may not pass, and the run fails when another one does not.
"""
