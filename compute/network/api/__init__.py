"""The HTTP API: Neutron's v2.0, and what hosts ask for.

Read first: routes, then `resources` (how all nouns are listed, shown, made, changed and deleted).
"""
