"""YAML is read strictly, spelled safely and compared as what it means."""

import pytest
import yaml

from tests.delivery.judges.objects import differences, parsed
from tests.delivery.judges.quantities import amount
from tests.delivery.judges.samples import changed, system
from tests.delivery.judges.spelling import spelling_problems

pytestmark = pytest.mark.deploy


def test_a_key_that_stands_twice_is_refused() -> None:
    """PyYAML, kubectl and Helm each keep the last, and say nothing."""
    with pytest.raises(yaml.YAMLError, match="stand twice: a"):
        parsed("a: 1\na: 2\n")


@pytest.mark.parametrize(
    "word",
    ["y", "on", "No", "~", "08", "012345678901", "1234567e8", "1e3", "22:22", "2026-01-02", "0o7"],
)
def test_a_plain_word_of_two_meanings_is_refused(word: str) -> None:
    """Some reader takes each for a number, a date or a truth value."""
    assert spelling_problems(f"a: {word}\n") != []
    assert spelling_problems(f"{word}: a\n") != []
    assert spelling_problems(f'a: "{word}"\n') == []


@pytest.mark.parametrize("word", ["8080", "-1", "0.5", "true", "null", "yes-man", "a:b", "v1.35"])
def test_a_plain_word_of_one_meaning_is_accepted(word: str) -> None:
    """All readers agree on it."""
    assert spelling_problems(f"a: {word}\n") == []


def test_a_word_of_a_format_is_accepted_where_it_is_told() -> None:
    """Workflows have the key `on`."""
    assert spelling_problems("on: push\n", keys=frozenset(("on",))) == []


@pytest.mark.parametrize(
    ("value", "other"), [(1, True), (1, "1"), (1, 1.0), (None, ""), ([], {}), ([1], [1, 1])]
)
def test_values_that_look_alike_are_told_apart(value: object, other: object) -> None:
    """What Python calls equal is not equal in JSON."""
    left = changed("ConfigMap", "orders-4f2c", "data/x", value)
    right = changed("ConfigMap", "orders-4f2c", "data/x", other)

    [line] = differences(left, right)
    assert line.startswith("ConfigMap store/orders-4f2c: .data.x")


def test_the_order_of_objects_means_nothing() -> None:
    """And neither does that of keys; that of items does."""
    assert differences(system(), reversed(system())) == []
    assert differences(system(), system()[:-1]) == ["Database store/orders: only on the left"]


@pytest.mark.parametrize(
    ("text", "number"),
    [("100m", "0.1"), ("1Ki", "1024"), ("1e3", "1000"), (2, "2"), ("1E", "1e18")],
)
def test_a_quantity_is_its_number(text: object, number: str) -> None:
    """By the grammar of Kubernetes: `E` is a suffix, `e3` an exponent."""
    assert amount(text) == amount(number)


@pytest.mark.parametrize("text", ["1 Gi", "1GB", "1kb", "Mi", "", "1mi", "--1", True])
def test_what_is_no_quantity_is_refused(text: object) -> None:
    """The API server would refuse it too."""
    with pytest.raises(ValueError, match="is no quantity"):
        amount(text)
