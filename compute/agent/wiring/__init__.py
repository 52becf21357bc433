"""What cards of guests are plugged into on a host: bridges, filters, DHCP, as the network service wants them.

Read first: interface (what the agent asks), wanted (what a host shall have, as values).
"""
