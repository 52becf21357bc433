"""What the block gateway answers, and what that means here."""

import json
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.layout import Layout
from compute.gateway import Gateway
from compute.stored import InUse, NoSuch, Refused, Removal, Unreachable

Answerer = Callable[[dict[str, Any]], dict[str, Any]]


class FakeGateway:
    """Answers on a control socket as a test says, and remembers what it was asked."""

    def __init__(self, path: Path) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answers: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self._socket.accept()
            except OSError:
                return
            with connection:
                question = json.loads(connection.makefile().readline())
                self.asked.append(question)
                answer = self.answers.get(question["do"], {"volume": volume()})
                connection.sendall(json.dumps(answer).encode() + b"\n")

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def verbs(self) -> list[str]:
        return [each["do"] for each in self.asked]


def volume(name: str = "v", size: int = 1 << 30, **more: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"id": "0" * 32, "name": name, "size": size, "state": "available", "created_us": 1}
    return {**told, "description": "", "parent": None, "snapshots": [], **more}


def refusal(kind: str) -> dict[str, Any]:
    return {"error": f"this is {kind}", "kind": kind}


@pytest.fixture
def layout() -> Iterator[Layout]:
    with tempfile.TemporaryDirectory() as directory:  # the path of a socket is to be short
        yield Layout(Path(directory))


@pytest.fixture
def fake(layout: Layout) -> Iterator[FakeGateway]:
    made = FakeGateway(layout.gateway_socket(0))
    yield made
    made.close()


def test_one_that_does_not_answer_is_unreachable(layout: Layout) -> None:
    with pytest.raises(Unreachable):
        Gateway(layout).find("v")


def test_the_next_gateway_is_asked(layout: Layout) -> None:
    made = FakeGateway(layout.gateway_socket(1))
    assert Gateway(layout, 2).find("v") is not None
    made.close()


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("NoSuchVolume", NoSuch),
        ("InvalidRequest", Refused),
        ("VolumeInUse", InUse),
        ("VolumeError", Unreachable),
        ("Busy", Unreachable),
        ("Overtaken", Unreachable),
        ("", Unreachable),
    ],
)
def test_refusals(layout: Layout, fake: FakeGateway, kind: str, error: type[Exception]) -> None:
    fake.answers["rollback"] = refusal(kind)
    with pytest.raises(error, match="this is"):
        Gateway(layout).roll_back("v", "s")


def test_what_is_there_already_is_no_error(layout: Layout, fake: FakeGateway) -> None:
    gateway = Gateway(layout)
    fake.answers |= {
        "create": refusal("NameTaken"),
        "clone": refusal("NameTaken"),
        "flatten": refusal("InvalidRequest"),
    }
    gateway.create("v", 1 << 30, False)
    gateway.clone("p", "s", "v")
    gateway.flatten("v")
    fake.answers["show"] = {"volume": volume(snapshots=[{"id": "1", "name": "s", "size": 1, "created_us": 1}])}
    gateway.snapshot("v", "s")
    gateway.resize("v", 1 << 30)
    assert not {"snapshot", "resize"} & set(fake.verbs())
    gateway.resize("v", 2 << 30)
    assert fake.asked[-1] == {"do": "resize", "name": "v", "size": 2 << 30}


def test_what_is_gone_already_is_no_error(layout: Layout, fake: FakeGateway) -> None:
    gateway = Gateway(layout)
    fake.answers |= {"show": refusal("NoSuchVolume"), "delete-snapshot": refusal("NoSuchSnapshot")}
    assert gateway.find("v") is None
    assert gateway.remove("v") is Removal.GONE
    assert gateway.delete_snapshot("v", "s") is Removal.GONE
    gateway.put_aside("v", 1.0)
    with pytest.raises(NoSuch):
        gateway.resize("v", 1)


def test_a_volume_goes_by_the_trash(layout: Layout, fake: FakeGateway) -> None:
    gateway = Gateway(layout)
    assert gateway.remove("v") is Removal.GONE
    assert fake.verbs() == ["show", "trash", "purge"]
    fake.answers |= {"show": {"volume": volume(state="trashed")}, "purge": refusal("SnapshotInUse")}
    assert gateway.remove("v") is Removal.KEPT
    assert fake.verbs()[3:] == ["show", "purge"]
    fake.answers |= {"show": {"volume": volume()}, "trash": refusal("VolumeInUse")}
    with pytest.raises(InUse):
        gateway.remove("v")
    fake.answers["delete-snapshot"] = refusal("SnapshotInUse")
    assert gateway.delete_snapshot("v", "s") is Removal.KEPT


def test_the_list_tells_which_clones_there_are(layout: Layout, fake: FakeGateway) -> None:
    parent = volume("p", snapshots=[{"id": "1", "name": "s", "size": 1, "created_us": 1}])
    clone = volume("c", parent={"volume": "0" * 32, "snapshot": "1"})
    fake.answers["list"] = {"volumes": [parent, clone], "next": None}
    found = {each.name: each for each in Gateway(layout).list()}
    assert found["p"].snapshots[0].clones == ("c",)
    assert (found["c"].is_clone, found["p"].is_clone) == (True, False)
