"""What can go wrong with a backup. Each is a sentence for whoever asked for it; those with more carry it."""


class BackupError(Exception):
    """It can't be done; the text says why, and what to do."""


class TargetFailed(BackupError):
    """The place where backups are did not do what it was asked, after several tries. Later it may."""


class NoSuchObject(BackupError):
    """The target has no object of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no object {name}")
        self.name = name


class NoSuchBackup(BackupError):
    """There is no backup called so."""


class Damaged(BackupError):
    """An object is not what was written, or is gone. Nothing of it is used."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name} is damaged: {why}")
        self.name, self.why = name, why


class WrongKey(BackupError):
    """No key was given where one is needed, or not the right one, or one where none is."""


class Busy(BackupError):
    """Somebody else is at work on the backups of this volume."""
