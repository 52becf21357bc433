"""What guests are told of themselves: at 169.254.169.254, and on their config drive.

`openstack` and `ec2` are the two forms, as a path's content: pure. `server` answers a guest's requests, `listeners` are
where it can make them, in each network or, in user mode, by a socket of its own; a guest learns only its own.
"""
