"""Settings: typed values from the environment, injected into the handlers that name them."""

import json
from collections.abc import Iterator, Mapping
from typing import TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from holdfast.contract.carrier import name_of
from holdfast.contract.model import Model
from holdfast.contract.secret_names import is_secret_name, plain_url
from holdfast.errors import SettingError
from holdfast.system.shapes import is_list, is_structured


class Settings(Model):
    """A group of settings of one service.

    The field `signing_key` of a service `users` is read from `USERS_SIGNING_KEY`. Use `SecretStr`
    for what must not be printed. A list is written with commas, `a,b`, or as JSON; what has fields
    of its own is written as JSON.
    """

    def __repr_args__(self) -> Iterator[tuple[str | None, object]]:
        """Yield what `repr` shows: of a field whose name says that it is secret, no value."""
        for name, value in super().__repr_args__():
            secret = name is not None and is_secret_name(name) and value not in (None, "")
            yield name, "**********" if secret and isinstance(value, str | bytes) else value


S = TypeVar("S", bound=Model)


def variable_name(prefix: str, field: str) -> str:
    """Return the variable of a field: of `users` and `signing_key` it is `USERS_SIGNING_KEY`."""
    return f"{prefix}_{field}".upper().replace("-", "_")


def read_settings(kind: type[S], prefix: str, environ: Mapping[str, str]) -> S:
    """Read a group of settings from `<PREFIX>_<FIELD>` variables.

    Raises:
        SettingError: each missing or bad variable, with what it should be.
    """
    names = {field: variable_name(prefix, field) for field in kind.model_fields}
    given = {field: environ[name] for field, name in names.items() if environ.get(name, "") != ""}
    read = {field: _read(kind.model_fields[field], text) for field, text in given.items()}
    try:
        return kind.model_validate(read, by_name=True, by_alias=False)
    except ValidationError as exc:
        raise SettingError([_problem(kind, names, given, error) for error in exc.errors()]) from exc


def _read(field: FieldInfo, text: str) -> object:
    """Return what a variable holds: lists are written with commas, or as JSON; Models as JSON."""
    many = is_list(field.annotation)
    if many or is_structured(field.annotation):
        if text.lstrip()[:1] in ("[", "{"):
            try:
                return json.loads(text)
            except ValueError:
                return text  # refused by the type, which it does not fit
        if many:
            return [part.strip() for part in text.split(",")]
    return text


def _problem(
    kind: type[Model], names: dict[str, str], given: dict[str, str], error: ErrorDetails
) -> str:
    field = str(error["loc"][0]) if error["loc"] else ""
    name = names.get(field, field)
    info = kind.model_fields.get(field)
    wanted = name_of(info.annotation) if info else "?"
    if field not in given:
        return f"{name} is not set; set it to a {wanted}"
    secret = "Secret" in wanted or is_secret_name(name)
    secret = secret or (info is not None and is_structured(info.annotation))
    text = given[field]
    shown = "(a secret)" if secret else repr(plain_url(text) if "://" in text else text)
    default = info.default if info is not None else PydanticUndefined
    unsaid = secret or default is None or default is PydanticUndefined
    hint = "" if unsaid else f"; the default is {default!r}"
    return f"{name}={shown}: {error['msg']}{hint}"
