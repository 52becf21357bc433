"""Who may do what with networks: rules of oslo.policy, with Neutron's names and defaults.

`reader` sees what is its project's, `member` changes it, `admin` may do everything, `service` is what other services of
the cluster have: it sees all, makes and binds ports. Rules of attributes (create_network:shared) are asked for when
somebody sends them, or before they are shown. An operator's policy.yaml overrides single rules.
Source: Neutron's published default policies (2025.1). Its `field:` checks are `True:%(shared)s` and the like here.
"""
