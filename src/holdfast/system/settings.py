"""Settings: typed values from the environment, injected into the handlers that name them."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticUndefined

from holdfast.contract.model import Model
from holdfast.errors import SettingError


class Settings(Model):
    """A group of settings of one service.

    The field `signing_key` of a service `users` is read from `USERS_SIGNING_KEY`. Use `SecretStr`
    for what must not be printed.
    """


S = TypeVar("S", bound=Model)


def read_settings(kind: type[S], prefix: str, environ: Mapping[str, str]) -> S:
    """Read a group of settings from `<PREFIX>_<FIELD>` variables.

    Raises:
        SettingError: each missing or bad variable, with what it should be.
    """
    names = {field: f"{prefix}_{field}".upper().replace("-", "_") for field in kind.model_fields}
    given = {field: environ[name] for field, name in names.items() if environ.get(name, "") != ""}
    try:
        return kind.model_validate(given)
    except ValidationError as exc:
        raise SettingError([_problem(kind, names, given, error) for error in exc.errors()]) from exc


def _problem(kind: type[Model], names: dict[str, str], given: dict[str, str], error: Any) -> str:
    field = str(error["loc"][0]) if error["loc"] else ""
    name = names.get(field, field)
    info = kind.model_fields.get(field)
    wanted = getattr(info.annotation, "__name__", str(info.annotation)) if info else "?"
    if field not in given:
        return f"{name} is not set; set it to a {wanted}"
    secret = "Secret" in wanted
    shown = "(a secret)" if secret else repr(given[field])
    default = info.default if info is not None else PydanticUndefined
    hint = "" if default is PydanticUndefined or secret else f"; the default is {default!r}"
    return f"{name}={shown}: {error['msg']}{hint}"
