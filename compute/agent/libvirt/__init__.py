"""The hypervisor of a host, by libvirt.

`domain` describes guests to it, and reads what it says of them: pure. `hypervisor` is the few calls that the agent
makes, of which tests have one in memory; `connection` is how it is reached; `own` is the qemu that an agent has for
itself, without a daemon (`qemu:///embed`); `probing` tells whether KVM does what it promises.
"""
