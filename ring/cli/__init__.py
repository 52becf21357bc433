"""The `ring-builder` command: swift-ring-builder's commands, arguments and exit codes, over `ring.builder`.

A command is a function from a builder and a call to an outcome; `operations` is the table of them. It
changes nothing itself: `shell` reads, asks, writes all files of an outcome as one step or none, and speaks.

Read first: call, operations. Values: call. Grammar: notation, options, address, paths. Commands: devices,
settings, placing, publishing, report. Shell: shell, workspace, progress. docs/ring-builder.md is the operator's page.
"""

from ring.cli.shell import main

__all__ = ["main"]
