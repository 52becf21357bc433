"""The Images API, version 2, over HTTP: operations, by noun; each asks the policy before it does anything.

Read first: routes. What is in a transaction and what is not: `application`; data goes in and out in `data`.
"""
