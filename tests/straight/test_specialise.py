"""Templates whose questions are answered: what can never happen is left out, and the rest runs."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from holdfast.errors import UnknownName
from holdfast.straight import source_of
from holdfast.straight.specialise import source, specialise
from shop.system import shop


@dataclass
class Flags:
    """Questions of the template below."""

    loud: bool = False
    twice: bool = False


def template(flags: Flags, function: Callable[..., str]) -> Callable[[str], str]:
    """Return what says something."""
    arguments = dict

    def say(word: str) -> str:
        if flags.loud and not flags.twice:
            word = word.upper()
        elif flags.twice or flags.loud:
            word = word + word
        if word == "" or flags.twice:
            return function(**arguments(word="empty" if flags.twice else word))
        return "!" + word if flags.loud else word

    return say


def shown(word: str) -> str:
    """Show a word."""
    return f"<{word}>"


@pytest.mark.parametrize("loud", [False, True])
@pytest.mark.parametrize("twice", [False, True])
def test_it_says_the_same_as_the_template(loud: bool, twice: bool) -> None:
    """With the questions answered, nothing that is asked for each word is left."""
    flags = Flags(loud, twice)
    answers = {"loud": loud, "twice": twice}
    arguments = (("word", "'empty'" if twice else "word"),)
    made, text = specialise(template, answers, arguments), source(template, answers, arguments)

    assert "flags.loud" not in text
    assert "flags.twice" not in text
    for word in ("tea", ""):
        assert made(flags, shown)(word) == template(flags, shown)(word)


def test_what_can_never_happen_is_not_there() -> None:
    """One branch is left of three."""
    text = source(template, {"loud": False, "twice": False}, ())

    assert "upper" not in text
    assert "elif" not in text
    assert "'!'" not in text


def test_a_traceback_shows_the_lines_that_were_made() -> None:
    """Those of the template, at which whoever reads them can look."""
    made = specialise(template, {"loud": False, "twice": True}, (("word", "word"),))

    def fails(word: str) -> str:
        raise LookupError(word)

    with pytest.raises(LookupError) as caught:
        made(Flags(), fails)("tea")

    frames = traceback.extract_tb(caught.value.__traceback__)
    (frame,) = [frame for frame in frames if frame.name == "say"]
    assert frame.filename == __file__
    assert frame.line == 'return function(**arguments(word="empty" if flags.twice else word))'


def test_the_source_of_a_route_is_python_with_its_handler_s_arguments() -> None:
    """It asks nothing that is known, and compiles."""
    text = source_of(shop, "GET /v1/orders/{order_id}")

    compile(text, "source", "exec")
    assert "flags." not in text.partition("async def serve")[2]
    assert "function(order_id=values['order_id'], " in text


@pytest.mark.parametrize("name", ["GET /v1/none", "GET", ""])
def test_an_unknown_route_is_told_with_those_that_there_are(name: str) -> None:
    """Not with a traceback."""
    with pytest.raises(UnknownName, match=r"is no route .* GET /v1/orders, GET /v1/orders/{"):
        source_of(shop, name)
