"""Changing the rings of a running cluster: what the operator wants -> what would move -> done, in stages.

A change is proposed first (what would move, and whether it may be), begun with one write to coordination, and
then goes on by itself (storage.rings); whoever began it only looks on, and may leave. One command may
take several rounds, because a rebalance moves one replica of a partition at a time.

Read first: wishes (decisions on builders; pure), session (proposing, beginning, seeing it through), procedure
(what every command does in turn). Values: change. Decisions: wishes, reach, pace, offline; survey, forecast and
words for what is shown. Shells: builders (in coordination), machines (processes and the configuration), terminal.
Commands: command and files (`holdfast ring`), growing, shrinking and listing (`holdfast device`, `node add`).

brief, survey, pace and reach do without numpy, for `holdfast status` uses them.
"""
