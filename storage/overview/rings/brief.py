"""What `holdfast status` says of the rings: which devices count, how a change goes, what to do. Without numpy."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.coordination.embedded import EmbeddedCoordination
from cluster.coordination.errors import CoordinationError
from storage.overview.rings import survey
from storage.overview.rings.survey import Role, Share
from storage.overview.surveyed import Surveyed
from storage.overview.words import duration, listed
from storage.rings.errors import RingsError
from storage.rings.store import RingStore

_EMPTY = (Role.UNUSED, Role.DRAINED)  # nobody misses these when they are down


@dataclass(frozen=True, slots=True)
class Brief:
    """The rings in short. `failure`: why they cannot be read; then nothing is known of devices."""

    failure: str = ""
    version: int = 0
    stage: str = ""
    change: dict[str, Any] | None = None  # `survey.change_facts`
    shares: Mapping[int, Share] = field(default_factory=dict)
    roles: Mapping[int, Role] = field(default_factory=dict)

    def needs(self, device_id: int) -> bool:
        """Tell whether the cluster is degraded when the device is down."""
        return self.roles.get(device_id) not in _EMPTY

    def device_facts(self, device_id: int) -> dict[str, Any]:
        """Return what a device is to the rings."""
        share, what = self.shares.get(device_id), self.roles.get(device_id)
        return {
            "role": what.value if what else None,
            "weight": share.weight if share else None,
            "held_ratio": round(share.held_ratio, 6) if share else None,
            "coming_ratio": round(share.coming_ratio, 6) if share else None,
            "share": survey.share_shown(what, share) if what else "",
        }

    def facts(self) -> dict[str, Any]:
        """Return the rest, for programs."""
        return {"failure": self.failure, "version": self.version, "stage": self.stage, "change": self.change}

    def sentences(self, surveyed: Surveyed) -> Iterator[str]:
        """Yield what the operator should know."""
        if self.failure:
            yield f"The rings cannot be read: {self.failure}."
        if self.change:
            left = self.change["left_s"]
            rest = f", about {duration(left)} left" if left else ""
            yield (
                f"The rings are being changed ({self.change['note']}): {self.change['done_ratio']:.0%} copied{rest}; "
                f"{surveyed.command('ring')} tells more."
            )
        for what, explanation in (
            (Role.DRAINED, f"holds nothing: {surveyed.command('device remove ID')} takes it away"),
            (Role.UNUSED, f"in no ring: {surveyed.command('device list')} tells what to do"),
            (Role.MISSING, f"not in the configuration: {surveyed.command('device list')} tells what to do"),
        ):
            devices = sorted(device_id for device_id, own in self.roles.items() if own is what)
            if devices and not (self.change and what is Role.UNUSED):
                several = len(devices) > 1
                names = f"Device{'s' if several else ''} {listed([str(each) for each in devices])}"
                verb = "" if what is Role.DRAINED else "are " if several else "is "
                text = explanation.replace("holds", "hold", 1) if several else explanation
                yield f"{names} {verb}{text}."


def brief(surveyed: Surveyed, down: Collection[int]) -> Brief:
    """Return the rings of a cluster in short; `down` are devices."""
    try:
        coordination = EmbeddedCoordination(surveyed.layout.coordination)
    except CoordinationError as error:
        return Brief(failure=str(error))
    try:
        store = RingStore(coordination)
        situation = survey.situation_of(store)
        shares = survey.shares(store, situation.document)
        change = survey.change_facts(situation, down)
    except (CoordinationError, RingsError) as error:
        return Brief(failure=str(error))
    finally:
        coordination.close()
    configured = {device.id for device in surveyed.config.devices}
    roles = {each: survey.role(shares.get(each), each in configured) for each in configured | shares.keys()}
    document = situation.document
    return Brief("", document.version, document.stage.value, change, shares, roles)
