"""What can be wrong with what is asked of volumes, by what the caller would do about it."""


class CatalogError(Exception):
    """Base of all of them; its text is for people."""


class InvalidRequest(CatalogError):
    """A name, a size or a combination that there cannot be."""


class NameTaken(CatalogError):
    """A volume is called so already."""


class NoSuchVolume(CatalogError):
    """There is no volume of that name."""


class NoSuchSnapshot(CatalogError):
    """The volume has no snapshot of that name."""


class VolumeInUse(CatalogError):
    """It is open, or in the trash, or on its way out: that first."""


class Overtaken(CatalogError):
    """Somebody else has the volume: who asked has lost it, and did not know."""


class SnapshotInUse(CatalogError):
    """Clones read through it."""


class Busy(CatalogError):
    """Others change the same volume all the time: try again."""
