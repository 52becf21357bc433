"""What is asked of hosts, the gateway, volumes, images and networks, as operations: see `compute.operations`.

A server has one at a time. Kinds: building, deleting, power, changing (disks and cards that come and go), moving,
rebuilding, imaging, shelving, rescuing; `kinds` is the list of them. `work` is what they work with, `equipment` what
most of them do: have a guest on its host with all its disks and cards, and take it away again.
"""
