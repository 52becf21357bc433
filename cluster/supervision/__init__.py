"""Keeping the processes of a cluster running on one host.

A supervisor starts programs at once, starts again what dies (waiting a little longer each time), and
stops all in order. It sleeps until a signal, a request or a deadline wakes it, and holds almost nothing
in memory. When it dies, however it dies, the kernel kills what it started: a new supervisor never
meets the processes of an old one.

Read first: child (what to do when; pure), supervisor (the loop), control (how others talk to it).
"""
