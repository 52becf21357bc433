"""Keystone's HTTP API: operations by noun, what they take, what they show, and which rule allows them.

Read first: context (what an operation knows), listing (how collections are shown), then a noun; `application` has the
routes. An operation asks the policy before it tells that something exists.
"""
