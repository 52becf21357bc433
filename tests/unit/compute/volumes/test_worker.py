"""Which operations are tried again, for how long, and by whom."""

import threading
import time

from compute.crew import Crew
from compute.operations import journal
from compute.stored import Unreachable
from tests.unit.compute.volumes.service import SECOND_US, Service


def begin(service: Service) -> str:
    return str(service.member.post("/volumes", {"volume": {"size": 1}})["volume"]["id"])


def test_what_cannot_be_reached_is_tried_again_with_pauses(service: Service) -> None:
    volume_id = begin(service)
    service.wire.failures = [Unreachable("no answer")] * 4
    service.work()
    (operation,) = service.operations()
    assert operation.attempts == 1
    for _ in range(5):
        service.clock.now_us += 10 * SECOND_US
        service.work()
    assert service.member.volume(volume_id)["status"] == "available"


def test_nobody_waits_for_ever(service: Service) -> None:
    volume_id = begin(service)
    service.wire.failures = [Unreachable("no answer")] * 25
    for _ in range(40):
        service.clock.now_us += 31 * SECOND_US
        service.work()
    assert service.operations() == []
    assert service.member.volume(volume_id)["status"] == "error"
    assert "no answer" in service.member.get("/messages")["messages"][0]["user_message"]


def test_a_defect_of_ours_counts_as_a_failure_in_the_end(service: Service) -> None:
    volume_id = begin(service)
    service.wire.failures = [ZeroDivisionError("a defect")] * 5
    service.settle()
    assert service.member.volume(volume_id)["status"] == "error"


def test_two_processes_do_not_do_the_same(service: Service) -> None:
    for _ in range(8):
        begin(service)
    done: list[int] = []

    def work() -> None:
        worker = service.new_worker()
        count = 0
        while worker.step():
            count += 1
        done.append(count)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    service.work()
    assert service.operations() == []
    assert len(service.gateway.volumes) == 8


def test_who_was_held_up_for_too_long_changes_nothing(service: Service) -> None:
    volume_id = begin(service)
    with service.database.writing() as connection:
        operation = journal.claim(connection, "elsewhere@nbd/1", service.clock())
    assert operation is not None
    service.work()
    assert service.member.volume(volume_id)["status"] == "creating"  # somebody else does it
    service.clock.now_us += journal.CLAIM_US + SECOND_US
    service.work()
    assert service.member.volume(volume_id)["status"] == "available"
    with service.database.reading() as connection:
        assert not journal.is_owned(connection, operation)


def test_a_crew_carries_out_what_is_due(service: Service) -> None:
    crew = Crew("operations", service.database, journal.next_due_us, service.clock, [service.worker.step] * 2)
    crew.look()
    crew.start()
    volume_id = begin(service)
    crew.look()
    deadline = time.monotonic() + 60
    while service.member.volume(volume_id)["status"] != "available":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    crew.stop(5.0)
    assert service.operations() == []


def test_when_operations_are_due(service: Service) -> None:
    def due_us() -> int | None:
        with service.database.reading() as connection:
            return journal.next_due_us(connection)

    assert due_us() is None
    begin(service)
    (operation,) = service.operations()
    assert due_us() == operation.not_before_us
    with service.database.writing() as connection:
        claimed = journal.claim(connection, "somebody", service.clock())
    assert claimed is not None
    with service.database.reading() as connection:
        found = journal.find(connection, claimed.id)
        assert found is not None
        assert journal.next_due_us(connection) == found.claimed_until_us + 1
        assert not journal.waits(connection, found.claimed_until_us)
        assert journal.waits(connection, found.claimed_until_us + 1)
    with service.database.writing() as connection:
        journal.put_off(connection, claimed, claimed.not_before_us + 77)
    assert due_us() == claimed.not_before_us + 77


def test_what_is_done_already_is_not_asked_for_twice(service: Service) -> None:
    volume_id = begin(service)
    service.admin.act(volume_id, "os-reset_status", {"status": "available"})
    service.member.act(volume_id, "os-extend", {"new_size": 2}, 409)
    service.member.delete(f"/volumes/{volume_id}", 409)
    assert len(service.operations()) == 1
