"""Who may do what in the identity service: oslo.policy's rules, with Keystone's names and defaults.

The personas: `admin` may do everything, `manager` manages users, groups, projects and ordinary roles within its own
domain, `reader` sees what is in its scope; a reader of the system sees all. Everybody may look after what is its own.
An operator's policy.yaml overrides single rules.

Read first: checks (the words that rules are made of), then the defaults of a noun; `enforcer` applies them.
Source: Keystone's published default policies (2025.1).
"""
