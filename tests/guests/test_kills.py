"""Whoever is killed, whenever: what was begun comes to an end, and what is deleted leaves nothing.

A server is made, a volume attached and detached, a server resized and deleted; meanwhile all agents, the compute
service, or all hosts' libvirtd are killed, at moments that walk through the operation, and are started again. At every
single step, but in memory, that is in `tests/unit/compute/instances/test_crashes.py`; here it is processes. In its
short form a few of them are killed once; in its long form each, in each operation, at `MOMENTS` moments.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from keystoneauth1.exceptions import ConnectFailure
from openstack.exceptions import BadRequestException, ConflictException, HttpException, NotFoundException

from compute.agent.wiring.choosing import RUN
from compute.agent.wiring.names import Names
from compute.stored import BackendError
from tests.conftest import LONG
from tests.guests import libvirtd, tiny
from tests.guests.agents import WAIT_S, until
from tests.guests.clouds import AGENTS, Cloud

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a libvirtd beside the machine's own is for root")

MOMENTS = 6 if LONG else 1  # of an operation at which somebody is killed
VICTIMS = ("agent", "service", "libvirtd")
SHORT = {("create", "libvirtd"), ("attach", "service"), ("delete", "agent")}
MiB = 1 << 20
During = Callable[[Callable[[], object]], None]  # does something, and has somebody killed meanwhile


class Site:
    """A cluster whose agents use libvirtds of the test's own, and who is killed there."""

    def __init__(self, directory: Path) -> None:
        self.place, self.daemons = libvirtd.several(AGENTS)
        try:
            self.cloud = Cloud(directory, libvirt=self.daemons[0].uri.replace("/0/", "/{agent}/"))
        except BaseException:
            self._end_daemons()
            raise
        self.compute, self.storage = self.cloud.compute, self.cloud.storage
        disk = directory / "empty.raw"
        disk.write_bytes(bytes(MiB))
        self.empty = self.cloud.images.create_image(
            name="empty", filename=str(disk), disk_format="raw", container_format="bare", wait=True, timeout=WAIT_S,
            os_shutdown_timeout="0",
        )  # fmt: skip
        self.larger = self.compute.create_flavor(name="larger", ram=160, vcpus=1, disk=0)
        self._number = 0
        self.took_s: dict[str, float] = {}
        self.errors: list[str] = []  # what did not come to be
        self.delete(self.make(self.name()))  # by then the image is what servers begin with

    def close(self) -> None:
        """Leave nothing running."""
        self.cloud.close()
        self._end_daemons()

    def _end_daemons(self) -> None:
        for each in self.daemons:
            each.close()
        self.place.rmdir()

    # who is killed

    def kill(self, victim: str) -> None:
        """Kill all of a sort; who has no supervisor is started again."""
        if victim == "libvirtd":
            for daemon in self.daemons:
                daemon.kill()
            for daemon in self.daemons:
                daemon.start()
            return
        name = "agent-" if victim == "agent" else "compute"
        for process, number in self.cloud.cluster.processes().items():
            if process.startswith(name):
                os.kill(number, signal.SIGKILL)

    def await_all(self) -> None:
        """Return when all of them serve."""
        for daemon in self.daemons:
            daemon.await_served()
        for host in self.cloud.hosts.values():
            until("the agent answers", lambda host=host: answers(host.seen))
        until("the service answers", lambda: answers(lambda: list(self.compute.flavors())))

    def during(self, operation: str, victim: str, moment: float, do: Callable[[], object]) -> None:
        """Do something that is killed when so much of it is done: 0 is its beginning, 1 its end."""
        timer = threading.Timer(self.took_s[operation] * moment, self.kill, [victim])
        began_s = time.monotonic()
        timer.start()
        do()
        print(f"{operation}, {victim} killed at {moment:.0%}: {time.monotonic() - began_s:.1f} s")
        timer.join()
        self.await_all()

    def measure(self, operation: str, do: Callable[[], object]) -> None:
        """Note how long it takes when nobody is killed: then nothing may end in an error."""
        began_s = time.monotonic()
        self.errors.clear()
        do()
        assert not self.errors, f"although nobody was killed: {self.errors}"
        self.took_s.setdefault(operation, time.monotonic() - began_s)

    # what is done

    def name(self) -> str:
        """Return a name that nothing has."""
        self._number += 1
        return f"number {self._number}"

    def make(self, name: str) -> Any:
        """Return a server, as it came out: with a disk of an image, and a volume that goes with it."""
        going = {"delete_on_termination": True}
        disks = [
            {"boot_index": 0, "uuid": self.empty.id, "source_type": "image", "destination_type": "local", **going},
            {"boot_index": -1, "source_type": "blank", "destination_type": "volume", "volume_size": 1, **going},
        ]
        ask(lambda: self.find(name) or self.cloud.begin(name, image_id=self.empty.id, block_device_mapping=disks))
        return self.settled(ask(lambda: self.find(name)))

    def find(self, name: str) -> Any:
        """Return the server of that name; None: there is none."""
        return next((each for each in self.compute.servers(name=f"^{name}$")), None)

    def settled(self, server: Any, *, but: str = "") -> Any:
        """Return a server once nothing is done to it any more."""

        def found() -> Any:
            now = ask(lambda: self.compute.get_server(server.id))
            return now if now.task_state is None and now.status not in ("BUILD", but) else None

        now = until("the operation has ended", found)
        if now.status == "ERROR":
            print(f"{now.name} ended in an error: {now.fault}")
            self.errors.append(now.name)
            assert (now.fault or {}).get("message"), "it says nothing about what went wrong"
        return now

    def delete(self, server: Any) -> None:
        """Have a server be gone, and look whether anything of it is left."""
        ask(lambda: self.compute.delete_server(server.id))

        def is_gone() -> bool:
            try:
                ask(lambda: self.compute.get_server(server.id))
            except NotFoundException:
                return True
            return False

        until("it is gone", is_gone)

    def resize(self, server: Any) -> None:
        """Have a server be larger, on whatever host; it may end in an error."""
        ask(lambda: self.compute.resize_server(server.id, self.larger.id))
        now = self.settled(server)
        if now.status == "VERIFY_RESIZE":
            ask(lambda: self.compute.confirm_server_resize(server.id))
            now = self.settled(server, but="VERIFY_RESIZE")
            assert now.status == "ACTIVE"
            assert now.flavor["original_name"] == self.larger.name

    def attach(self, server: Any, volume: Any) -> str:
        """Have a volume be attached; return what became of it."""

        def begin() -> None:
            try:
                self.compute.create_volume_attachment(server.id, volume_id=volume.id)
            except BadRequestException as error:  # the one before had its effect: that is no conflict with Nova
                if "is already attached to instance" not in str(error):
                    raise

        ask(begin)
        status = self.volume_settled(server, volume)
        if status != "in-use":
            self.errors.append(f"{volume.id} of {server.name}")
        return status

    def detach(self, server: Any, volume: Any) -> None:
        """Have a volume be free."""
        ask(lambda: self.compute.delete_volume_attachment(server.id, volume.id))
        until("the volume is free", lambda: self.volume_settled(server, volume) == "available")

    def volume_settled(self, server: Any, volume: Any) -> str:
        """Return the status of a volume once both services say the same of it."""

        def found() -> str:
            attached = any(each.volume_id == volume.id for each in ask(lambda: self.attachments(server)))
            status: str = ask(lambda: self.storage.get_volume(volume.id)).status
            return status if status == ("in-use" if attached else "available") else ""

        status: str = until("the volume has settled", found)
        return status

    def attachments(self, server: Any) -> list[Any]:
        """Return the volumes that a server has."""
        return list(self.compute.volume_attachments(server.id))

    # what is left

    def stored(self) -> set[str]:
        """Return the volumes that the gateway has, whoever made them."""
        return {each["name"] for each in self.cloud.cluster.ask_gateway("list", first="")["volumes"]}

    def check_nothing_is_left(self) -> None:
        """All servers are deleted: nothing is there for any."""
        assert not list(self.compute.servers(all_projects=True))
        assert machines(self.place) == []
        assert [each for daemon in self.daemons for each in daemon.domains()] == []
        for host in self.cloud.hosts.values():
            assert host.seen().guests == ()
        assert [each.id for each in self.cloud.sdk.network.ports() if each.device_owner.startswith("compute:")] == []
        assert [each.id for each in self.storage.volumes(details=False)] == []
        images = {f"image-{each.id}" for each in self.cloud.images.images()}  # what disks of servers are clones of
        assert not self.stored() - images
        until("the taps are gone", lambda: not taps(self.cloud))
        until("no address is given out", lambda: not addresses(self.cloud))
        assert "Nothing is wrong" in self.cloud.cluster.holdfast("doctor")


def ask(do: Callable[[], Any]) -> Any:
    """Return what a request answers, made again where nobody answered, or asked the one before."""
    deadline_s = time.monotonic() + WAIT_S
    while True:
        is_last = time.monotonic() > deadline_s
        try:
            return do()
        except ConflictException:
            return None  # the one before that was not answered had its effect
        except (ConnectFailure, HttpException) as error:
            if is_last or 400 <= (getattr(error, "status_code", None) or 500) < 500:
                raise
        time.sleep(0.1)


def answers(do: Callable[[], object]) -> bool:
    """Tell whether something is answered."""
    try:
        do()
    except (ConnectFailure, HttpException, BackendError):
        return False
    return True


def machines(place: Path) -> list[int]:
    """Return the processes of guests whose libvirtd is below `place`, which they see in place of the system's."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"qemu-system" in (path / "cmdline").read_bytes().split(b"\0")[0] and (
                str(place) in (path / "mountinfo").read_text()
            ):
                found.append(int(path.name))
    return found


def names_of(cloud: Cloud) -> Iterator[Names]:
    """Yield what things of the agents on the machine are called."""
    for number in range(AGENTS):
        yield Names.of(str(cloud.layout.directory), number)


def taps(cloud: Cloud) -> list[str]:
    """Return the devices of guests' cards."""
    return [path.name for names in names_of(cloud) for path in Path("/sys/class/net").glob(names.taps)]


def addresses(cloud: Cloud) -> list[str]:
    """Return the lines that dnsmasq goes by."""
    places = [path for names in names_of(cloud) for path in RUN.glob(f"holdfast-{names.mark}/*/hosts")]
    return [line for path in places for line in path.read_text().splitlines() if line.strip()]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("kills"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def guest(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A guest that lets go of its disks: it has a kernel."""
    image = site.cloud.image(tiny.disk(tmp_path_factory.mktemp("tiny")), "tiny")
    server = site.cloud.server("standing", image_id=image.id)
    site.cloud.console(server).wait_for("GUEST ready")
    return server


def create(site: Site, during: During) -> None:
    name, made = site.name(), []
    during(lambda: made.append(site.make(name)))
    if made[0].status == "ACTIVE":
        assert [name for name, host in site.cloud.hosts.items() if host.find(made[0].id)] == [made[0].compute_host]
    site.delete(made[0])


def delete(site: Site, during: During) -> None:
    made = site.make(site.name())
    during(lambda: site.delete(made))


def resize(site: Site, during: During) -> None:
    made = site.make(site.name())
    during(lambda: site.resize(made))
    site.delete(made)


def attach(site: Site, during: During) -> None:
    made, volume, outcome = site.make(site.name()), site.cloud.volume(size=1), []
    during(lambda: outcome.append(site.attach(made, volume)))
    has = {serial for host in site.cloud.hosts.values() if (state := host.find(made.id)) for serial in state.disks}
    assert (volume.id in has) == (outcome[0] == "in-use")
    site.delete(made)
    site.cloud.await_volume(volume, "available")
    site.storage.delete_volume(volume)
    site.storage.wait_for_delete(volume, wait=WAIT_S)


def detach(site: Site, guest: Any, during: During) -> None:
    volume = site.cloud.volume(size=1)
    assert site.attach(guest, volume) == "in-use"
    during(lambda: site.detach(guest, volume))
    has = {serial for host in site.cloud.hosts.values() if (state := host.find(guest.id)) for serial in state.disks}
    assert volume.id not in has
    site.storage.delete_volume(volume)
    site.storage.wait_for_delete(volume, wait=WAIT_S)


OPERATIONS: Mapping[str, Callable[[Site, During], None]] = {
    "create": create, "attach": attach, "delete": delete, "resize": resize
}  # fmt: skip


def run(site: Site, operation: str, victim: str, do: Callable[[During], None]) -> None:
    """Do it once with nobody killed, and then as often as there are moments."""
    if operation not in site.took_s:
        do(lambda what: site.measure(operation, what))
    for number in range(MOMENTS):
        moment = (number + 0.5) / MOMENTS
        do(lambda what, moment=moment: site.during(operation, victim, moment, what))


@pytest.mark.parametrize(
    ("operation", "victim"),
    [
        pytest.param(operation, victim, marks=() if (operation, victim) in SHORT else pytest.mark.long)
        for operation in OPERATIONS
        for victim in VICTIMS
    ],
)
def test_what_was_begun_comes_to_an_end_whoever_is_killed(site: Site, operation: str, victim: str) -> None:
    run(site, operation, victim, lambda during: OPERATIONS[operation](site, during))


@pytest.mark.long
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_guest_lets_go_of_a_disk_whoever_is_killed(site: Site, guest: Any, victim: str) -> None:
    run(site, "detach", victim, lambda during: detach(site, guest, during))


def test_in_the_end_nothing_is_left(site: Site) -> None:
    for server in site.compute.servers():
        site.delete(server)
    site.check_nothing_is_left()
