"""The network service: the part of OpenStack's Neutron v2.0 that guests need.

- What clients see is in a database, and nothing else is: one request is one transaction. What hosts have to do about it
  they find by asking (`hosts`): each has a document of all that it shall have, and is told when that changes.
- An address is a row whose key is network and address, so that no two ports ever have the same; a MAC likewise. Usage
  is counted over the rows themselves (`quotas`): there is no counter that could be wrong.
- A port is ACTIVE when the host that it is bound to says that its card is there, and filtered; else it is DOWN.
- A network with a subnet that has DHCP has a port of the service's own (network:dhcp), whose addresses every host gives
  to its DHCP server: each serves its own guests, so that it is the same everywhere.
- A floating address, and each address of a router, is a port's of the service's own (`own_ports`), so that these, too,
  are given once. Only IPv4 is routed.
- A network has a number that no other one has, and hosts are told where its ports are, so that they send guests'
  packets to each other (`tunnels`).

Read first: schema, attributes (what clients may send, by noun), then a noun (`ports`, `allocation`), and
`api.resources` (how all nouns are served). Left out: routes of routers' own (`extraroute`) and IPv6 on routers, subnet
pools, RBAC policies beside `shared`, trunks, QoS, networks of hosts' own wires.
"""
