"""What can go wrong before a daemon serves anything."""


class ConfigError(Exception):
    """The configuration cannot be used. Its text is one sentence for the operator: show it and stop."""
