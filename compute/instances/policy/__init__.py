"""Who may do what with servers: rules of oslo.policy, with Nova's names and defaults.

`reader` sees what is its project's, `member` changes it, `admin` may do everything. An operator's policy.yaml overrides
single rules. Source: Nova's published default policies (2025.1).
"""
