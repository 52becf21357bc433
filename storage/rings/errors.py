"""What can go wrong with published rings, by what the caller does next. The words are for the operator."""


class RingsError(Exception):
    """Base of all below."""


class DocumentDamaged(RingsError):
    """What coordination holds is no ring document: somebody must put it right."""


class RingMissing(RingsError):
    """A ring file that the document names is not there, or not whole. Read again: it may be on its way."""


class NoRings(RingsError):
    """The cluster has no rings yet."""

    def __init__(self) -> None:
        super().__init__("the cluster has no rings: `holdfast up` makes them")


class RingsExist(RingsError):
    """The cluster has rings already."""


class ChangeUnderWay(RingsError):
    """Another change is not over. Wait for its end, or cancel it while that can be done."""


class NothingToCancel(RingsError):
    """No change is under way, or it has gone too far to be taken back."""


class UnfitRings(RingsError):
    """The rings cannot follow the ones in force."""
