"""Whether the hardware under a device can be trusted with data, and what the daemon does while it cannot.

Promises:
- a device whose disk does not answer, fails, is read-only or has gone refuses at once, also what already waits:
  nobody waits for one sick disk while others have the data;
- nothing is ever written below a mount point whose file system is not there, nor into another device's directory;
- the process stays up to explain itself; when the disk is well again it comes back by itself, with recovery where
  anything that was written may have been lost.

Read first: condition (which states there are, and what each still serves), judgement (observations -> state; pure),
marker and examination (is this the device's directory?), heartbeat (one look at the disk), monitor (the shell that
looks, decides and acts), outage (the daemon of a device that cannot be opened). docs/sick-hardware.md is for operators.
"""
