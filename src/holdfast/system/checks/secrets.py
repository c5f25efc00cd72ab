"""Checks of settings that are secret: none of them stands in the code."""

from collections.abc import Iterator
from typing import Any

from pydantic import SecretBytes, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from holdfast.contract.secret_names import is_secret_name
from holdfast.system.service import Service
from holdfast.system.tables import settings_of

_NOTHING = (None, "", b"")


def secret_problems(service: Service) -> Iterator[str]:
    """Yield a line for each secret setting of a service that has a default."""
    try:
        kinds = settings_of(service)
    except (NameError, TypeError):
        return  # refused with its line by the checks of functions
    fields = {name: info for kind in kinds for name, info in kind.model_fields.items()}
    for name, info in fields.items():
        if is_secret(name, info) and _has_default(info):
            yield (
                f"Service({service.name!r}): the setting {name} is secret and has a default in the "
                "code; write `SecretStr` without one, or `SecretStr | None = None`"
            )


def is_secret(name: str, info: FieldInfo) -> bool:
    """Whether a field of Settings holds what must not be printed."""
    annotation: Any = info.annotation
    kinds = getattr(annotation, "__args__", (annotation,))
    return any(kind in (SecretStr, SecretBytes) for kind in kinds) or is_secret_name(name)


def _has_default(info: FieldInfo) -> bool:
    """Whether a value stands in the code, or is made there."""
    if info.is_required():
        return False
    default: Any = info.default
    if isinstance(default, SecretStr | SecretBytes):
        default = default.get_secret_value()
    return default is PydanticUndefined or default not in _NOTHING
