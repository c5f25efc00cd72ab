"""What is known of a letter that is not answered yet."""

import msgspec
import pytest

from holdfast.consistency.replies import heard
from holdfast.contract.envelope import LetterAnswer, State
from tests.contracts.rows import letter

SAID = LetterAnswer(letter(1).id, "taken", tries=3, error="LookupError: a bug")


@pytest.mark.parametrize("state", list(State))
def test_what_a_receiver_said_is_known_as_long_as_its_letter_is_open(state: State) -> None:
    """Of an open letter the row's answer is the last word of its receiver; later it is our own."""
    is_open = state in (State.DUE, State.HELD)

    assert heard(letter(1, state=state)) is None
    assert heard(letter(1, state=state, answer=msgspec.json.encode(SAID))) == (
        SAID if is_open else None
    )
