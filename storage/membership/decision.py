"""What a start, a loss and the end of a rebuilding make of a device's membership. Pure.

A start takes four steps, of which each may be the last before a crash (I, C: incarnations on the device and in
coordination; t: the token of this start):

    1. the device writes t beside I
    2. coordination has C = max(I, C) + 1, and t
    3. the device writes I = C, without t
    4. coordination drops t; then it serves

After a crash, C = I, or C = I + 1 with the same t on both sides: it is the same device still; in the latter case step 3
is made good before the next start begins with another t (`promoted`). A copy of its directory
that is older than the last start has a smaller I, and no t that coordination knows: for t is gone from
coordination before anything is served that such a copy could lack. So a healthy device is never taken for a copy, and
a copy never for the device, however often starts fail.
"""

from dataclasses import dataclass, replace

from storage.membership.record import Local, Member, State

EMPTY = "its disk is empty, or another one than before"
OLDER_COPY = "an older copy of its data has been put in its place"
SHORT_LOG = "the end of its log is missing"
UNKNOWN_SELF = "its record of itself is damaged"
BACK_IN_TIME = frozenset({OLDER_COPY, SHORT_LOG, UNKNOWN_SELF})  # it has what it had then, deletions since left out


@dataclass(frozen=True, slots=True)
class Here:
    """What a device finds on its disk when it starts."""

    identity: str
    local: Local | None  # None: damaged
    position: int  # where its log ends
    lost: str = ""  # what recovery found to be gone, in words


def loss(known: Member | None, here: Here) -> str:
    """Return what was lost since the device served last, in words; "" when nothing was."""
    if known is None:  # it has acknowledged nothing that anybody could miss
        return here.lost or (here.local.lost if here.local is not None else "")
    if known.identity != here.identity:
        return EMPTY
    if here.local is None:
        return UNKNOWN_SELF
    if _behind(known, here.local):
        return OLDER_COPY
    if here.position < known.position:
        return SHORT_LOG
    return here.lost or here.local.lost


def promoted(known: Member | None, local: Local) -> Local:
    """Return what the device knows of itself with the step that a crash has kept from it (3)."""
    if known is None or not known.token or known.token != local.token or local.incarnation != known.incarnation - 1:
        return local
    return replace(local, incarnation=known.incarnation)


def _behind(known: Member, local: Local) -> bool:
    return promoted(known, local).incarnation < known.incarnation


def entering(known: Member | None, here: Here, reason: str, token: str, now_us: int) -> Member:
    """Return what coordination is to have before the device serves (step 2). `reason`: as `loss` says."""
    local = promoted(known, here.local or Local())
    if known is None:
        known = Member(here.identity, 0, State.WHOLE, now_us)
    incarnation = max(known.incarnation, local.incarnation) + 1
    entered = replace(known, identity=here.identity, incarnation=incarnation, token=token, position=here.position)
    return losing(entered, reason, now_us) if reason else entered


def losing(known: Member, reason: str, now_us: int) -> Member:
    """Return the member after it has noticed a loss. Its rebuilding begins anew."""
    return replace(known, state=State.REBUILDING, since_us=now_us, reason=reason, lost_us=max(now_us, known.lost_us))


def begun(known: Member) -> Member:
    """Return the member when its start has come to its end (step 4)."""
    return replace(known, token="")


def advanced(known: Member, position: int) -> Member:
    """Return the member after its log has become longer."""
    return replace(known, position=max(position, known.position))


def whole(known: Member, now_us: int) -> Member:
    """Return the member after it has been rebuilt."""
    return replace(known, state=State.WHOLE, since_us=now_us)


def accepted(known: Member, now_us: int) -> Member:
    """Return the member after an operator has accepted the loss."""
    return replace(known, state=State.WHOLE, since_us=now_us, reason=f"loss accepted: {known.reason}"[:1000])
