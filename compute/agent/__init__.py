"""The agent of a host: runs guests through libvirt, as the compute service asks.

It decides nothing. What a guest shall be is sent whole, kept on the host (`agent.store`), and carried out however
often it is asked, so either side may die at any moment. Guests outlive the agent, and the gateway's restarts: a disk
that does not answer stops its guest, which the agent has go on once the gateway is back (`resuming`).

Read first: guest (what is sent), interface (what can be asked), decisions (what is to be done next, of which all calls
are made) and keeper, which does it; then `libvirt.domain` (how a guest is described to libvirt), `metadata` (what
guests are told), `wiring` (bridges, filters, DHCP). docs/guests.md tells operators.
"""
