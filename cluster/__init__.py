"""What every daemon shares: configuration, clock, wire protocol, coordination, telemetry, supervision.

Imports nothing of ours. Read first: clock (the order of versions), wire (how peers talk),
coordination (the small facts on which all agree), config.
"""
