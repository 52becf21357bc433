"""The identity service: OpenStack's Keystone, API version 3.

Noun modules (`users`, `projects`, `roles`, `assignments`, …) are functions over a connection, with frozen dataclasses
as values; they know neither HTTP nor policy. `tokens` is what the other services share with this one. `api` has the
operations, one module per noun: each asks `policy` first, then calls its noun. One request is one transaction.

Read first: schema (all that is kept), projects and assignments (who may do what where), api/application (the routes).
"""
