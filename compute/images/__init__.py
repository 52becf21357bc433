"""The image service: OpenStack's Glance, API version 2.

Noun modules (`images`, `members`, `tasks`, …) are functions over a connection; they know neither HTTP nor policy. What
an image consists of is a *content*: one object in the store, immutable, and recorded before it is written (`contents`).
`uploads` and `imports` bring contents in, through `receiving`: digested and inspected while they pass, with bounded
memory. Each step is one transaction; a process may be killed between any two, and `reaping` finishes or undoes what it
left. `golden` makes volumes of images.

Read first: schema (all that is kept), contents, statuses, api/routes.
"""
