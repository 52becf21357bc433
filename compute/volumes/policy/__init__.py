"""Who may do what with volumes: rules of oslo.policy, with Cinder's names and defaults.

`reader` sees what is its project's, `member` changes it, `admin` may do everything, `service` is what other services of
the cluster have: it attaches and detaches. An operator's policy.yaml overrides single rules.
Source: Cinder's published default policies (2025.1).
"""
