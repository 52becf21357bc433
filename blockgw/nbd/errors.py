"""What goes wrong between server and client."""


class ProtocolError(Exception):
    """The client has sent what can't be understood, or must not be sent: hang up, there is no way to answer."""
