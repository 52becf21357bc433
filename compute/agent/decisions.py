"""What is to be done about a guest next, from what was asked and what the hypervisor says. Pure.

Every call notes what it wants in the guest's record, and then lets this be carried out, step by step, until there is
nothing to do: so a host that died at any step goes on where it was, and a call that is made again does what is missing.
"""

from enum import Enum, auto

from compute.agent.guest import Power
from compute.agent.libvirt.interface import Activity, Domain
from compute.agent.store import Record, Wish


class Step(Enum):
    """What is to be done next."""

    NOTHING = auto()
    START = auto()
    START_PAUSED = auto()
    DESTROY = auto()
    ASK_TO_END = auto()  # and look again until it has, or its time is over
    PAUSE = auto()
    RESUME = auto()
    TRY_AGAIN = auto()  # it waits for a disk
    SAVE = auto()
    DISCARD_SAVED = auto()
    NOTE_OFF = auto()  # it ended by itself: that is what is wished from now on
    NOTE_CRASHED = auto()
    NOTE_REBOOTED = auto()
    NOTE_STARTED = auto()


def step(record: Record, domain: Domain | None, now_us: int) -> Step:
    """Return what is to be done next. `domain` None: the hypervisor does not know the guest."""
    found = domain or Domain(Activity.UNKNOWN)
    if record.reboot_of:
        return _rebooting(record, found, now_us)
    if found.activity.is_alive or found.is_broken:
        return _alive(record, found, now_us)
    return _off(record, found)


def _rebooting(record: Record, found: Domain, now_us: int) -> Step:
    if found.run != record.reboot_of:  # that run has ended
        return Step.NOTE_REBOOTED
    if found.is_broken or now_us >= record.off_by_us:
        return Step.DESTROY
    return Step.ASK_TO_END if found.activity is Activity.RUNNING else Step.NOTHING


def _alive(record: Record, found: Domain, now_us: int) -> Step:
    if record.wish is Wish.OFF:
        if found.is_broken or now_us >= record.off_by_us:
            return Step.DESTROY
        return Step.ASK_TO_END if found.activity is Activity.RUNNING else Step.NOTHING
    if found.is_broken:
        if record.starting:
            return Step.DESTROY
        return Step.NOTHING if record.crashed else Step.NOTE_CRASHED
    if record.starting:
        return Step.NOTE_STARTED
    if record.wish is Wish.SUSPENDED:
        return Step.SAVE
    if record.wish is Wish.PAUSED:
        return Step.PAUSE if found.activity is Activity.RUNNING else Step.NOTHING
    if found.activity is Activity.PAUSED:
        return Step.RESUME
    return Step.TRY_AGAIN if found.activity is Activity.WAITING else Step.NOTHING


def _off(record: Record, found: Domain) -> Step:
    if record.wish is Wish.OFF:
        return Step.DISCARD_SAVED if found.saved else Step.NOTHING
    if record.wish is Wish.SUSPENDED:
        return Step.NOTHING if found.saved or not record.starting else Step.START
    start = Step.START_PAUSED if record.wish is Wish.PAUSED else Step.START
    if record.starting or found.saved:
        return start
    if found.activity in (Activity.ENDED, Activity.DESTROYED):
        return Step.NOTE_OFF
    if record.crashed:
        return Step.NOTHING
    return Step.NOTE_CRASHED if found.activity is Activity.CRASHED else start


def power(record: Record, domain: Domain | None, settling: bool = False) -> Power:
    """Return what a guest does, as others are told. `settling`: it went on a moment ago, after its disk had failed."""
    found = domain or Domain(Activity.UNKNOWN)
    if found.activity is Activity.RUNNING:
        return Power.WAITING if settling else Power.RUNNING
    if found.activity is Activity.WAITING:
        return Power.PAUSED if record.wish is Wish.PAUSED else Power.WAITING
    if found.activity is Activity.PAUSED:
        return Power.PAUSED
    if found.saved:
        return Power.SUSPENDED
    if record.wish is Wish.OFF or record.starting:
        return Power.OFF
    if found.activity is Activity.CRASHED and not record.crashed:
        return _BEFORE_CRASH.get(record.wish, Power.CRASHED)
    return Power.CRASHED if record.crashed else Power.OFF


# a crash is told of once it is written down: an agent that began anew before that would start the guest
_BEFORE_CRASH = {Wish.RUNNING: Power.RUNNING, Wish.PAUSED: Power.PAUSED}
