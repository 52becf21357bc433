"""What there is to tell of rings: shares, roles, and how far a change is."""
