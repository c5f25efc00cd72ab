"""Settings: read from the environment, with every problem in one report."""

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import Field, SecretBytes, SecretStr

from holdfast import Model, Settings
from holdfast.errors import SettingError
from holdfast.system.settings import read_settings


class PaymentSettings(Settings):
    signing_key: SecretStr
    retries: int = Field(default=3, ge=0)
    hosts: str = "localhost"


def test_a_field_is_read_from_its_own_variable() -> None:
    """`signing_key` of the service `card-payments` is CARD_PAYMENTS_SIGNING_KEY."""
    settings = read_settings(
        PaymentSettings,
        "card-payments",
        {"CARD_PAYMENTS_SIGNING_KEY": "s3cret", "CARD_PAYMENTS_RETRIES": "5"},
    )

    assert settings.signing_key.get_secret_value() == "s3cret"
    assert settings.retries == 5
    assert "s3cret" not in repr(settings)


def test_every_wrong_variable_is_named() -> None:
    """The missing ones with what they should be, the bad ones with their value and default."""
    with pytest.raises(SettingError) as refused:
        read_settings(PaymentSettings, "pay", {"PAY_RETRIES": "many"})

    missing, bad = refused.value.problems
    assert missing == "PAY_SIGNING_KEY is not set; set it to a SecretStr"
    assert bad.startswith("PAY_RETRIES='many': ")
    assert bad.endswith("; the default is 3")


def test_an_empty_variable_is_not_set() -> None:
    """`PAY_HOSTS=` in an environment file means the default."""
    settings = read_settings(PaymentSettings, "pay", {"PAY_SIGNING_KEY": "k", "PAY_HOSTS": ""})

    assert settings.hosts == "localhost"


def test_a_secret_is_never_printed() -> None:
    """Not even when it is wrong."""

    class Short(Settings):
        pin: SecretStr = Field(max_length=4)

    with pytest.raises(SettingError, match=r"PAY_PIN=\(a secret\): ") as refused:
        read_settings(Short, "pay", {"PAY_PIN": "much-too-long"})

    assert "much-too-long" not in str(refused.value)


class Peer(Model):
    """A setting with fields of its own."""

    host: str
    password: SecretStr = SecretStr("")


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (list[str], "a,b", ["a", "b"]),
        (list[str], "a, b ,c", ["a", "b", "c"]),
        (list[str], "a", ["a"]),
        (list[str], '["a,b", "c"]', ["a,b", "c"]),
        (list[int] | None, "1,2", [1, 2]),
        (tuple[int, str], "1,b", (1, "b")),
        (frozenset[int], "1,1", frozenset({1})),
        (Sequence[float], "[1.5]", [1.5]),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (Peer, '{"host": "h"}', Peer(host="h")),
        (list[Peer], '[{"host": "h"}]', [Peer(host="h")]),
        (str, "[a,b]", "[a,b]"),
        (bool, "true", True),
    ],
)
def test_a_list_is_written_with_commas_or_as_json(annotation: Any, text: str, value: Any) -> None:
    """What has fields of its own is written as JSON; a text stays what it is."""

    class Some(Settings):
        of_it: annotation

    settings: Any = read_settings(Some, "svc", {"SVC_OF_IT": text})

    assert settings.of_it == value


@pytest.mark.parametrize("annotation", [list[SecretBytes], Peer, list[Peer], dict[str, Peer]])
def test_a_secret_inside_is_not_printed_either(annotation: Any) -> None:
    """Whatever it is part of."""

    class Some(Settings):
        of_it: annotation

    for text in ('{"password": "hunter2", "host": 1}', '["hunter2", 5]', '{"hunter2"'):
        with pytest.raises(SettingError) as refused:
            read_settings(Some, "svc", {"SVC_OF_IT": text})
        assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("name", ["api_token", "signing_key", "db_password", "webhook_secrets"])
def test_a_setting_that_is_named_like_a_secret_is_not_shown(name: str) -> None:
    """Whatever its type is; its default neither."""
    short: Any = Field("of-the-code", max_length=3)
    kind: Any = type("Some", (Settings,), {"__annotations__": {name: str}, name: short})
    with pytest.raises(SettingError, match=f"PAY_{name.upper()}=") as refused:
        read_settings(kind, "pay", {f"PAY_{name.upper()}": "hunter2"})

    assert "hunter2" not in str(refused.value)
    assert "of-the-code" not in str(refused.value)
