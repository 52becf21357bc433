"""Where a server goes: of all hosts those that pass the filters, of these the one that weighs most. Pure.

`candidates` are what is decided over, `filters` and `weighers` decide, `choice` puts them together.
"""
