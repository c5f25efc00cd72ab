"""The envelope: what is encoded is what is decoded, and newer senders are understood."""

from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contract.envelope import Kind, Lane, Letter, LetterAnswer, MessageRow, Parcel, State

ID = UUID("01900000-0000-7000-8000-000000000001")

bodies = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
).map(lambda value: msgspec.Raw(msgspec.json.encode(value)))
letters = st.builds(
    Letter,
    id=st.uuids(),
    kind=st.sampled_from(Kind),
    type=st.text(),
    body=bodies,
    about=st.none() | st.uuids(),
    known=st.booleans(),
    correlation=st.text(),
    trace=st.text(),
)
answers = st.builds(
    LetterAnswer,
    id=st.uuids(),
    outcome=st.sampled_from(["reply", "failure", "refused", "taken", "expired"]),
    body=bodies,
    type=st.text(),
)
parcels = st.builds(
    Parcel,
    sender=st.text(),
    receiver=st.text(),
    lane=st.sampled_from(Lane),
    letters=st.lists(letters.map(msgspec.json.encode).map(msgspec.Raw), max_size=3),
    answers=st.lists(answers, max_size=3),
    again=st.booleans(),
    floor=st.none() | st.uuids(),
)


@given(st.one_of(letters, answers, parcels))
def test_what_is_encoded_is_what_is_decoded(sent: Letter | LetterAnswer | Parcel) -> None:
    """Whatever the texts and bodies are; so the bytes of a re-sent letter are the same."""
    encoded = msgspec.json.encode(sent)

    again = msgspec.json.decode(encoded, type=type(sent))

    assert again == sent
    assert msgspec.json.encode(again) == encoded


@given(parcel=parcels, letter=letters)
def test_the_letters_of_a_parcel_are_opened_one_by_one(parcel: Parcel, letter: Letter) -> None:
    """One that cannot be read does not spoil the others."""
    packed = Parcel(
        parcel.sender,
        parcel.receiver,
        parcel.lane,
        [msgspec.Raw(b'{"not": "a letter"}'), msgspec.Raw(msgspec.json.encode(letter))],
    )

    broken, sound = msgspec.json.decode(msgspec.json.encode(packed), type=Parcel).letters

    with pytest.raises(msgspec.ValidationError, match="missing required field"):
        msgspec.json.decode(broken, type=Letter)
    assert msgspec.json.decode(sound, type=Letter) == letter


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Letter, '{"id": "%s", "kind": "command", "type": "Charge.v1", "priority": 3}' % ID),  # noqa: UP031
        (LetterAnswer, '{"id": "%s", "outcome": "reply", "node": {"zone": "a"}}' % ID),  # noqa: UP031
        (Parcel, '{"sender": "a", "receiver": "b", "lane": "work", "checksum": "x"}'),
    ],
)
def test_unknown_fields_are_ignored(kind: type, text: str) -> None:
    """A newer sender must not be poison to an older receiver."""
    assert msgspec.json.decode(text, type=kind)


def test_defaults_do_not_travel() -> None:
    """A letter of a command without history is its id, kind, type and body, and no more."""
    letter = Letter(id=ID, kind=Kind.COMMAND, type="Charge.v1", body=msgspec.Raw(b"{}"))
    answer = LetterAnswer(id=ID, outcome="taken")
    parcel = Parcel("orders", "payments", Lane.WORK, [msgspec.Raw(b"0")])

    assert [msgspec.json.encode(sent).decode() for sent in (letter, answer, parcel)] == [
        f'{{"id":"{ID}","kind":"command","type":"Charge.v1","body":{{}}}}',
        f'{{"id":"{ID}","outcome":"taken"}}',
        '{"sender":"orders","receiver":"payments","lane":"work","letters":[0]}',
    ]


def test_a_hundred_letters_cost_a_hundred_bodies() -> None:
    """The parcel's own names are written once, so joining letters saves their envelope."""
    letter = msgspec.Raw(
        msgspec.json.encode(Letter(id=ID, kind=Kind.COMMAND, type="A.v1", body=msgspec.Raw(b"{}")))
    )
    one, many = (
        len(msgspec.json.encode(Parcel("a", "b", Lane.WORK, [letter] * n))) for n in (1, 100)
    )

    assert many - one == 99 * (len(bytes(letter)) + 1)


def test_answers_go_back_on_the_urgent_lane() -> None:
    """They must not wait behind new work; letters keep the lane of their edge."""
    letters_ = Parcel("orders", "payments", Lane.WORK)
    answers_ = Parcel(
        "orders", "payments", Lane.WORK, answers=[LetterAnswer(id=ID, outcome="reply")]
    )

    assert letters_.address == ("payments", Lane.WORK)
    assert answers_.address == ("orders", Lane.URGENT)


def test_a_copied_row_changes_alone() -> None:
    """A transition compares what a row was with what it becomes."""
    row = MessageRow(1, ID, State.DUE, Kind.COMMAND, tries=1)

    copied = row.copy()
    copied.state, copied.tries = State.DONE, 2

    assert (row.state, row.tries) == (State.DUE, 1)
