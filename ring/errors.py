"""What can go wrong with a ring. The text of each is one sentence for the operator."""


class RingError(Exception):
    """The ring or builder cannot do what was asked; nothing was changed."""


class DamagedFile(RingError):
    """A file is not what it says it is, or not whole: take it from elsewhere."""


class UnknownFormat(RingError):
    """A newer release, or something else altogether, wrote this."""
