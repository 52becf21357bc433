"""blockgw.volumes.room: what is known of chunks has a bound, over all volumes."""

from blockgw.volumes.room import Room


class Volume:
    """Knows what it has met; `busy` chunks cannot be forgotten."""

    def __init__(self, room: Room, busy: int = 0) -> None:
        self.room = room
        self.busy = busy
        self.known_count = 0
        room.join(self)

    def meet(self, count: int) -> None:
        for _ in range(count):
            self.room.enter()
            self.known_count += 1

    def forget(self, count: int) -> None:
        self.known_count -= min(count, max(0, self.known_count - self.busy))


def test_one_volume_knows_no_more_than_there_is_room_for() -> None:
    volume = Volume(Room(160))
    for _ in range(1000):
        volume.meet(1)
        assert volume.known_count <= 160
    assert volume.known_count > 100


def test_many_volumes_share_it_and_the_largest_gives_way() -> None:
    room = Room(160)
    large, small = Volume(room), [Volume(room) for _ in range(5)]
    for volume in small:
        volume.meet(10)
    large.meet(1000)
    assert [volume.known_count for volume in small] == [10] * 5
    assert large.known_count + 50 <= 160


def test_what_is_in_use_stays_and_others_are_asked() -> None:
    room = Room(160)
    busy, idle = Volume(room, busy=1000), Volume(room)
    idle.meet(50)
    busy.meet(130)
    assert busy.known_count == 130
    assert idle.known_count < 40


def test_a_volume_that_has_left_does_not_count() -> None:
    room = Room(160)
    gone, here = Volume(room), Volume(room)
    gone.meet(150)
    room.leave(gone)
    here.meet(140)
    assert here.known_count == 140
