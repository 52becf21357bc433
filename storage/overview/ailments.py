"""What processes say of their disks, clocks and replicas, in sentences: what is wrong, what is done, what one can do.

They tell it under names of their status (/healthz); what a process of another version does not tell is passed over.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.config import DeviceConfig

Healths = Mapping[str, Mapping[str, Any]]  # of processes, by name: what their /healthz says
# of a disk: the others say so themselves, or another sentence does
_QUIET = ("ok", "filling")


@dataclass(frozen=True, slots=True)
class Ailment:
    """Something that is not as it should be."""

    what: str
    doing: str = ""
    advice: str = ""

    def sentence(self) -> str:
        """Return it for people to read in one go."""
        doing = f": {self.doing}" if self.doing else ""
        advice = f" {self.advice[0].upper()}{self.advice[1:]}." if self.advice else ""
        return f"{self.what}{doing}.{advice}"


def of_disks(devices: Mapping[str, DeviceConfig], healths: Healths) -> Iterator[Ailment]:
    """Yield what is wrong with disks; `devices` by the name of their process."""
    for name, device in devices.items():
        facts = healths.get(name, {}).get("health")
        if not isinstance(facts, Mapping) or facts.get("condition", "ok") in _QUIET:
            continue
        since = facts.get("since") or 0
        lasting = f" for {_duration(time.time() - since)}" if since else ""
        what = f"The disk of device {device.id} (node {device.node}) is {facts['condition']}{lasting}"
        reason = facts.get("reason")
        yield Ailment(f"{what} ({reason})" if reason else what, facts.get("doing", ""), facts.get("advice", ""))


def of_clocks(healths: Healths, warn_s: float) -> Iterator[Ailment]:
    """Yield whose clocks are off."""
    for name, health in healths.items():
        off_s = health.get("clock_off_s")
        if isinstance(off_s, int | float) and abs(off_s) > warn_s:
            direction = "ahead of" if off_s > 0 else "behind"
            yield Ailment(
                f"The clock of {name} is {_duration(abs(off_s))} {direction} the others'",
                "versions are ordered rightly all the same, but times that people read, expiry and signatures are off",
                "set the clock of its host by NTP",
            )


def of_replicas(devices: Mapping[str, DeviceConfig], healths: Healths) -> Iterator[Ailment]:
    """Yield which devices are being filled, and which hold what belongs to others."""
    for name, device in devices.items():
        health = healths.get(name, {})
        membership = health.get("membership")
        if isinstance(membership, Mapping) and membership.get("state") == "rebuilding":
            yield Ailment(f"Device {device.id} (node {device.node}) is rebuilding", _progress(membership))
        standing_in = health.get("standing_in")
        if isinstance(standing_in, Mapping) and standing_in.get("partitions"):
            others = ", ".join(str(each) for each in standing_in.get("for", ()))
            yield Ailment(
                f"Device {device.id} holds {standing_in['partitions']} partitions for device {others or 'others'}",
                "it gives them back once they are there again",
            )


def is_grave(health: Mapping[str, Any]) -> bool:
    """Tell whether a process that serves does not do all of its work."""
    facts, membership = health.get("health"), health.get("membership")
    full = isinstance(facts, Mapping) and facts.get("condition") == "full"
    return full or (isinstance(membership, Mapping) and membership.get("state") == "rebuilding")


def _progress(membership: Mapping[str, Any]) -> str:
    done, total = membership.get("partitions_done"), membership.get("partitions_total")
    words = [str(membership.get("reason") or "it came without its data")]
    if total:
        words.append(f"{done} of {total} partitions are whole again")
    eta_s = membership.get("eta_s")
    if isinstance(eta_s, int | float):
        words.append(f"done in about {_duration(eta_s)}")
    if membership.get("waiting"):
        words.append(str(membership["waiting"]))
    return "; ".join(words)


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
