"""blockgw/nbd/handshake.py: options in every order, and what is agreed on at the end."""

import struct
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockgw.errors import NotAllowed, ShuttingDown, TlsRequired, UnknownExport, VolumeError
from blockgw.interfaces import BlockSizes, Export
from blockgw.nbd.dialect import Mode
from blockgw.nbd.errors import ProtocolError
from blockgw.nbd.handshake import Describe, Handshake, HangUp, List, Open, Policy, Send, StartTls, Step, Transmit
from tests.unit.blockgw.nbd import client

FIXED = b"\0\0\0\3"
PLAIN = Policy()


class Volume:
    """What a handshake looks at; it does no I/O."""

    name, size, read_only, description = "v", 1 << 30, False, "tells of itself"
    block_sizes, multi_conn, contexts = BlockSizes(), True, ("base:allocation", "holdfast:dirty-since/x")


class Conversation:
    """A handshake, with volumes "v" and "w" at hand; remembers what was sent."""

    def __init__(self, policy: Policy = PLAIN, flags: bytes = FIXED, options_limit: int = 256) -> None:
        self.handshake = Handshake(policy, options_limit)
        self.handshake.begin(flags)
        self.error: VolumeError | None = None
        self.volume = Volume()

    def ask(self, option: int, data: bytes = b"") -> Step:
        """Return the step that ends what an option sets off."""
        return self._complete(self.handshake.answer(option, data))

    def _complete(self, step: Step) -> Step:
        if isinstance(step, List):
            return self.handshake.listed(["v", "w"])
        if isinstance(step, Describe | Open):
            if self.error or step.name not in ("v", "w"):
                return self.handshake.not_opened(step.option, self.error or UnknownExport(step.name))
            self.volume.name = step.name
            return step.then(self.export)
        return step

    @property
    def export(self) -> Export:
        return self.volume  # type: ignore[return-value]


def replies(step: Step) -> list[tuple[int, bytes]]:
    """Return types and data of the replies in a step."""
    assert isinstance(step, Send | Transmit | HangUp | StartTls)
    found, data = [], step.data
    while data:
        magic, _option, kind, length = struct.unpack_from(">QIII", data)
        assert magic == 0x3E889045565A9
        found.append((kind, data[20 : 20 + length]))
        data = data[20 + length :]
    return found


def kinds(step: Step) -> list[int]:
    return [kind for kind, _data in replies(step)]


def infos(step: Step) -> dict[int, bytes]:
    return {int.from_bytes(data[:2], "big"): data[2:] for kind, data in replies(step) if kind == client.REP_INFO}


def test_the_greeting_offers_the_fixed_handshake() -> None:
    """doc/proto.md, "Newstyle negotiation"."""
    assert Handshake(PLAIN).greeting == b"NBDMAGICIHAVEOPT\0\3"


# GO, INFO, EXPORT_NAME


def test_go_tells_of_the_export_and_ends_the_handshake() -> None:
    step = Conversation().ask(client.GO, client.go_data("v"))
    assert isinstance(step, Transmit)
    assert (step.mode, step.contexts) == (Mode.SIMPLE, ())
    told = infos(step)
    size, flags = struct.unpack(">QH", told[0])
    assert size == 1 << 30
    # HAS_FLAGS FLUSH FUA TRIM ZEROES MULTI_CONN CACHE FAST_ZERO; not READ_ONLY, not DF
    assert flags == 1 | 4 | 8 | 32 | 64 | 256 | 1024 | 2048
    assert struct.unpack(">III", told[3]) == (1, 4096, 32 << 20)


def test_a_volume_that_is_read_only_offers_nothing_that_changes_it() -> None:
    conversation = Conversation()
    conversation.volume.read_only = True
    conversation.volume.multi_conn = False
    _size, flags = struct.unpack(">QH", infos(conversation.ask(client.GO, client.go_data("v")))[0])
    assert flags == 1 | 2 | 4 | 8 | 1024


def test_df_is_offered_with_structured_replies() -> None:
    conversation = Conversation()
    conversation.ask(client.STRUCTURED_REPLY)
    _size, flags = struct.unpack(">QH", infos(conversation.ask(client.GO, client.go_data("v")))[0])
    assert flags & 128


def test_info_tells_what_it_is_asked_for_and_goes_on() -> None:
    conversation = Conversation()
    step = conversation.ask(client.INFO, client.go_data("v", (1, 2, 77)))
    assert isinstance(step, Send)
    assert infos(step)[1] == b"v"
    assert infos(step)[2] == b"tells of itself"
    assert kinds(step)[-1] == client.ACK
    assert isinstance(conversation.ask(client.GO, client.go_data("v")), Transmit)


def test_only_go_and_the_name_of_an_export_open_it() -> None:
    handshake = Conversation().handshake
    handshake.answer(client.STRUCTURED_REPLY, b"")
    for option, data in (
        (client.INFO, client.go_data("v")),
        (client.LIST_META_CONTEXT, client.contexts_data("v")),
        (client.SET_META_CONTEXT, client.contexts_data("v", "base:allocation")),
    ):
        assert isinstance(handshake.answer(option, data), Describe)
    assert isinstance(handshake.answer(client.GO, client.go_data("v")), Open)
    assert isinstance(handshake.answer(client.EXPORT_NAME, b"v"), Open)


def test_a_block_size_has_to_be_asked_for_where_it_matters() -> None:
    """doc/proto.md, NBD_REP_ERR_BLOCK_SIZE_REQD."""
    conversation = Conversation()
    conversation.volume.block_sizes = BlockSizes(minimum=512)
    for option in (client.INFO, client.GO):
        assert kinds(conversation.ask(option, client.go_data("v"))) == [client.ERR_BLOCK_SIZE_REQD]
    assert isinstance(conversation.ask(client.GO, client.go_data("v", (3,))), Transmit)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UnknownExport("x"), client.ERR_UNKNOWN),
        (TlsRequired("x"), client.ERR_TLS_REQD),
        (NotAllowed("x"), client.ERR_POLICY),
        (ShuttingDown("x"), client.ERR_SHUTDOWN),
        (VolumeError("x"), client.ERR_PLATFORM),
    ],
)
def test_why_an_export_is_not_opened_is_told_and_the_client_may_ask_again(error: VolumeError, kind: int) -> None:
    conversation = Conversation()
    conversation.error = error
    for option in (client.INFO, client.GO):
        assert kinds(conversation.ask(option, client.go_data("v"))) == [kind]
    assert isinstance(conversation.ask(client.EXPORT_NAME, b"v"), HangUp)
    conversation.error = None
    assert isinstance(conversation.ask(client.GO, client.go_data("v")), Transmit)


@pytest.mark.parametrize(("flags", "zeroes"), [(b"\0\0\0\3", 0), (b"\0\0\0\1", 124), (b"\0\0\0\0", 124)])
def test_export_name_is_answered_without_a_header(flags: bytes, zeroes: int) -> None:
    """doc/proto.md, NBD_OPT_EXPORT_NAME."""
    step = Conversation(flags=flags).ask(client.EXPORT_NAME, b"v")
    assert isinstance(step, Transmit)
    assert step.data[:8] == (1 << 30).to_bytes(8, "big")
    assert step.data[10:] == bytes(zeroes)


def test_a_handshake_that_is_not_fixed_has_no_other_option() -> None:
    with pytest.raises(ProtocolError):
        Conversation(flags=bytes(4)).ask(client.LIST)


# LIST, ABORT, what is unknown or malformed


def test_a_list_names_all_exports() -> None:
    expected = [(client.SERVER, client.string("v")), (client.SERVER, client.string("w")), (client.ACK, b"")]
    assert replies(Conversation().ask(client.LIST)) == expected


def test_a_list_may_be_kept_back() -> None:
    assert kinds(Conversation(Policy(listing=False)).ask(client.LIST)) == [client.ERR_POLICY]


def test_abort_is_acknowledged_whatever_comes_with_it() -> None:
    step = Conversation().ask(client.ABORT, b"whatever")
    assert isinstance(step, HangUp)
    assert kinds(step) == [client.ACK]


@pytest.mark.parametrize("option", [0, 4, 12, 99, (1 << 32) - 1])
def test_an_unknown_option_is_answered_and_the_handshake_goes_on(option: int) -> None:
    """doc/proto.md, NBD_REP_ERR_UNSUP."""
    conversation = Conversation()
    assert kinds(conversation.ask(option, b"data")) == [client.ERR_UNSUP]
    assert isinstance(conversation.ask(client.GO, client.go_data("v")), Transmit)


@pytest.mark.parametrize("option", [client.LIST, client.STARTTLS, client.STRUCTURED_REPLY, client.EXTENDED_HEADERS])
def test_data_where_none_belong_are_refused(option: int) -> None:
    assert kinds(Conversation(Policy(tls=True)).ask(option, b"x")) == [client.ERR_INVALID]


def test_there_is_an_end_to_options() -> None:
    conversation = Conversation(options_limit=3)
    for _ in range(3):
        conversation.ask(99)
    with pytest.raises(ProtocolError):
        conversation.ask(99)


def test_an_option_that_is_too_big_is_refused_and_a_name_is_the_end() -> None:
    conversation = Conversation()
    assert kinds(conversation.handshake.too_big(client.GO)) == [client.ERR_TOO_BIG]
    with pytest.raises(ProtocolError):
        conversation.handshake.too_big(client.EXPORT_NAME)
    with pytest.raises(ProtocolError):
        conversation.ask(client.EXPORT_NAME, b"\xff")


# dialects and contexts


@pytest.mark.parametrize(
    ("options", "answers", "mode"),
    [
        ([client.STRUCTURED_REPLY], [client.ACK], Mode.STRUCTURED),
        ([client.EXTENDED_HEADERS], [client.ACK], Mode.EXTENDED),
        ([client.STRUCTURED_REPLY, client.EXTENDED_HEADERS], [client.ACK, client.ACK], Mode.EXTENDED),
        ([client.STRUCTURED_REPLY] * 2, [client.ACK, client.ERR_INVALID], Mode.STRUCTURED),
        ([client.EXTENDED_HEADERS] * 2, [client.ACK, client.ERR_INVALID], Mode.EXTENDED),
        (
            [client.EXTENDED_HEADERS, client.STRUCTURED_REPLY],
            [client.ACK, client.ERR_EXT_HEADER_REQD],
            Mode.EXTENDED,
        ),
    ],
)
def test_dialects_are_agreed_on_upwards(options: Sequence[int], answers: Sequence[int], mode: Mode) -> None:
    conversation = Conversation()
    assert [kinds(conversation.ask(option)) for option in options] == [[answer] for answer in answers]
    step = conversation.ask(client.GO, client.go_data("v"))
    assert isinstance(step, Transmit)
    assert step.mode is mode


@pytest.mark.parametrize("option", [client.LIST_META_CONTEXT, client.SET_META_CONTEXT])
def test_contexts_need_a_dialect_that_can_tell_of_them(option: int) -> None:
    conversation = Conversation()
    assert kinds(conversation.ask(option, client.contexts_data("v"))) == [client.ERR_INVALID]
    conversation.ask(client.STRUCTURED_REPLY)
    assert kinds(conversation.ask(option, client.contexts_data("v")))[-1] == client.ACK


def test_the_contexts_of_the_export_that_is_used_are_those_chosen_last() -> None:
    conversation = Conversation()
    conversation.ask(client.STRUCTURED_REPLY)
    conversation.ask(client.SET_META_CONTEXT, client.contexts_data("v", "base:allocation"))
    step = conversation.ask(client.SET_META_CONTEXT, client.contexts_data("v", "holdfast:dirty-since/x", "no:such"))
    assert replies(step) == [
        (client.META_CONTEXT, b"\0\0\0\1holdfast:dirty-since/x"),
        (client.ACK, b""),
    ]
    conversation.ask(client.LIST_META_CONTEXT, client.contexts_data("v"))
    last = conversation.ask(client.GO, client.go_data("v"))
    assert isinstance(last, Transmit)
    assert [tuple(context) for context in last.contexts] == [(1, "holdfast:dirty-since/x")]


def test_contexts_of_another_export_are_not_in_use() -> None:
    conversation = Conversation()
    conversation.ask(client.STRUCTURED_REPLY)
    conversation.ask(client.SET_META_CONTEXT, client.contexts_data("w", "base:allocation"))
    last = conversation.ask(client.GO, client.go_data("v"))
    assert isinstance(last, Transmit)
    assert last.contexts == ()


# TLS


def test_tls_is_refused_where_it_is_not_configured() -> None:
    assert kinds(Conversation().ask(client.STARTTLS)) == [client.ERR_POLICY]


def test_what_was_agreed_on_before_tls_is_forgotten() -> None:
    """doc/proto.md, NBD_OPT_STARTTLS: whoever was in between may have agreed on it."""
    conversation = Conversation(Policy(tls=True))
    conversation.ask(client.STRUCTURED_REPLY)
    conversation.ask(client.SET_META_CONTEXT, client.contexts_data("v", "base:allocation"))
    assert isinstance(conversation.ask(client.STARTTLS), StartTls)
    assert conversation.handshake.secured() == Send(b"")
    assert kinds(conversation.ask(client.STARTTLS)) == [client.ERR_INVALID]
    last = conversation.ask(client.GO, client.go_data("v"))
    assert isinstance(last, Transmit)
    assert (last.mode, last.contexts) == (Mode.SIMPLE, ())


@pytest.mark.parametrize("option", [client.LIST, client.INFO, client.GO, client.STRUCTURED_REPLY, 99])
def test_nothing_else_is_answered_where_tls_is_required(option: int) -> None:
    conversation = Conversation(Policy(tls=True, tls_required=True))
    assert kinds(conversation.ask(option, b"")) == [client.ERR_TLS_REQD]
    conversation.ask(client.STARTTLS)
    conversation.handshake.secured()
    assert client.ERR_TLS_REQD not in kinds(conversation.ask(option, b""))


def test_without_tls_one_may_still_leave_but_name_no_export() -> None:
    conversation = Conversation(Policy(tls=True, tls_required=True))
    assert isinstance(conversation.ask(client.ABORT), HangUp)
    with pytest.raises(ProtocolError):
        conversation.ask(client.EXPORT_NAME, b"v")


# anything


data_of_options = st.one_of(
    st.just(b""),
    st.binary(max_size=40),
    st.sampled_from((client.go_data("v"), client.go_data("w", (1, 2, 3)), b"v", client.contexts_data("v", "base:"))),
    st.just(client.contexts_data("w", "base:allocation")),
)
a_policy = st.sampled_from((Policy(), Policy(tls=True), Policy(tls=True, tls_required=True), Policy(listing=False)))


@given(a_policy, st.integers(0, 3), st.lists(st.tuples(st.integers(0, 13), data_of_options), max_size=12))
def test_any_options_in_any_order_are_answered_or_end_the_connection(
    policy: Policy, flags: int, asked: list[tuple[int, bytes]]
) -> None:
    secure = False
    with suppress(ProtocolError):
        conversation = Conversation(policy, flags.to_bytes(4, "big"))
        for option, data in asked:
            step = conversation.ask(option, data)
            if isinstance(step, StartTls):
                assert policy.tls
                assert not secure
                secure = True
                conversation.handshake.secured()
            elif isinstance(step, Transmit):
                assert secure or not policy.tls_required
                assert not step.contexts or step.mode is not Mode.SIMPLE
                return
            elif isinstance(step, HangUp):
                return
            else:
                assert kinds(step)[-1] == client.ACK or kinds(step)[-1] >= client.ERR
