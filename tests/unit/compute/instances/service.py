"""A compute service in a temporary directory, over hosts, networks, volumes and images in memory, and clients of it.

service = Service(tmp_path)
server = service.make_server()
service.work()  # carry out what the requests have begun
"""

from pathlib import Path
from typing import Any

from cluster.controlplane.database import retried
from compute.instances import hosts
from compute.instances.api.application import compute_application
from compute.instances.api.parts import Parts
from compute.instances.following import Follower
from compute.instances.operations.kinds import KINDS
from compute.instances.operations.work import Tools, Work
from compute.instances.reconciler import Reconciler
from compute.instances.settings import Settings
from compute.operations import journal
from compute.operations.worker import Worker
from identity.keystone.tokens import token as tokens
from identity.keystone.tokens.token import Method, Person, Scope, ScopeKind, Token
from tests.databases import fill, url_in
from tests.unit.compute.crashes import Tripwire, WiredDatabase
from tests.unit.compute.instances.memory import MemoryHosts, MemoryImages, MemoryNetwork, MemoryVolumes
from tests.unit.compute.instances.surroundings import (
    ADMINS,
    ALICES,
    BOBS,
    HOSTS,
    POLICY,
    SECOND_US,
    START_US,
    Client,
    Clock,
    KnownTokens,
    begin,
    state_of,
)
from tests.unit.compute.volumes.memory import MemoryGateway

SMALL = "1"  # a flavor that is there from the beginning


class Service:
    """The service."""

    def __init__(self, directory: Path, settings: Settings | None = None) -> None:
        self.wire = Tripwire()
        self.database = WiredDatabase(url_in(directory), self.wire)
        fill(self.database, begin)
        self.settings = settings or Settings()
        self.clock, self.tokens = Clock(), KnownTokens()
        self.gateway = MemoryGateway(self.wire)
        self.hosts = MemoryHosts(self.wire, HOSTS, self.gateway)
        self.volumes = MemoryVolumes(self.wire)
        self.images = MemoryImages(self.wire, self.gateway)
        self.network = MemoryNetwork(self.wire)
        self.tools = Tools(self.hosts, self.volumes, self.images, self.network, self.gateway, lambda _seconds: None)
        for name in HOSTS:
            self.see(name)
        parts = Parts(
            self.database,
            self.tokens,
            POLICY,
            self.settings,
            self.hosts,
            self.volumes,
            self.images,
            self.network,
            lambda: None,
            lambda operation_id: self.worker.hasten(operation_id),
        )
        self.application = compute_application(parts, self.clock)
        self.worker = self.new_worker()
        self.admin = self.client("admin", ("admin", "manager", "member", "reader"), ADMINS)
        self.member = self.client("alice", ("member", "reader"), ALICES)
        self.reader = self.client("rita", ("reader",), ALICES)
        self.stranger = self.client("bob", ("member", "reader"), BOBS)
        self.service_user = self.client("cinder", ("service",), "d" * 32)
        self.nobody = Client(self.application, None, ALICES)

    def see(self, name: str, **state: Any) -> None:
        """Have a host be seen."""
        now_us = self.clock()
        retried(self.database, lambda connection: hosts.note(connection, name, state_of(name, **state), now_us))

    def lose(self, name: str) -> None:
        """Have a host not answer, and be known for it."""
        self.hosts.by_name[name].is_away = True
        retried(self.database, lambda connection: hosts.change(connection, name, forced_down=True))

    def find(self, name: str) -> None:
        """Have a host answer again."""
        self.hosts.by_name[name].is_away = False
        retried(self.database, lambda connection: hosts.change(connection, name, forced_down=False))

    def client(self, name: str, roles: tuple[str, ...], project_id: str) -> Client:
        """Return a client with a token that says so."""
        held = tuple(tokens.Role(each, each) for each in roles)
        scope = Scope(ScopeKind.PROJECT, project_id, name, "default", "Default")
        person = Person(f"user-{name}", name, "default", "Default")
        self.tokens.by_text[name] = Token(person, (Method.PASSWORD,), scope, held, START_US, START_US * 2, ("audit",))
        return Client(self.application, name, project_id)

    def new_worker(self) -> Worker[Work]:
        """Return a worker as that of a process that has just started."""
        worker = Worker(
            self.database,
            lambda operation: Work(operation, self.database, self.tools, self.settings, self.clock),
            KINDS,
            "here",
            self.clock,
        )
        worker.take_over()
        return worker

    def reconcile(self) -> int:
        """Return how much the reconciler has mended."""
        return Reconciler(self.database, self.tools, self.clock).step()

    def follow(self) -> None:
        """Note what guests do by themselves."""
        for name in HOSTS:
            Follower(self.database, self.hosts, name, self.clock).step(0.0)

    def work(self) -> None:
        """Carry out operations until there are none that could be carried out just now."""
        while self.worker.step():
            pass

    def settle(self) -> None:
        """Carry out operations until there are none."""
        while self.operations():
            self.clock.now_us += 31 * SECOND_US
            for name, host in self.hosts.by_name.items():
                if not host.is_away:
                    self.see(name)
            self.work()

    def operations(self) -> list[journal.Operation]:
        """Return what is to be carried out."""
        with self.database.reading() as connection:
            return journal.every(connection)

    # what most tests begin with
    def begin_server(self, client: Client | None = None, **attributes: Any) -> str:
        """Return the id of a server that is to be made."""
        wanted: dict[str, Any] = {"name": "web", "flavorRef": SMALL, "networks": "none"}
        if "imageRef" not in attributes and "block_device_mapping_v2" not in attributes:
            wanted["imageRef"] = self.images.put()
        document = {"server": {**wanted, **attributes}}
        return str((client or self.member).post("/servers", document, 202)["server"]["id"])

    def make_server(self, status: str = "ACTIVE", client: Client | None = None, **attributes: Any) -> Any:
        """Return the document of a server that was made."""
        server_id = self.begin_server(client, **attributes)
        self.work()
        made = self.server(server_id)
        assert made["status"] == status, made
        return made

    def server(self, server_id: str) -> Any:
        """Return the document of a server, as administrators see it."""
        return self.admin.get(f"/servers/{server_id}")["server"]

    def act(self, server_id: str, action: str, about: Any = None, status: int = 202, client: Any = None) -> Any:
        """Return what an action on a server answers, once it is done."""
        answer = (client or self.member).post(f"/servers/{server_id}/action", {action: about}, status)
        self.work()
        return answer

    def leftovers(self) -> list[str]:
        """Return what is there for servers: guests, disks of their own, ports, attachments."""
        found = [f"guest {each}" for each in self.hosts.guests()]
        found += [name for name in self.gateway.volumes if name.startswith("server-")]
        found += [f"port {port.id}" for port in self.network.ports.values() if port.device_id]
        found += [f"attachment {each}" for each in self.volumes.attachments]
        return found
