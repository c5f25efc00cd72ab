"""Templates: text files beside the code with the values of a system put in.

They are Jinja's, with `[= value =]`, `[% statement %]` and `[# comment #]`, which none of the
formats uses itself. What an expression gives is written as the format wants it: quoted where a
reader would take it for something else.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Final, cast

from holdfast.delivery.values import Hole, digest
from holdfast.delivery.yaml import text as yaml_text
from holdfast.errors import DeclarationError, SettingError

try:
    import jinja2
except ImportError as exc:  # an extra
    raise SettingError([f"`holdfast render` needs `pip install holdfast[render]`: {exc}"]) from exc

HELM: Final = "{{ "
"""Begins what Helm puts in later; such a text is written as it is."""


class Templates:
    """The templates of one part; a user's own of the same name come first.

    Args:
        own: the user's folder of templates, or None.
    Raises:
        DeclarationError: that is no folder, or a file in it replaces none of ours.
    """

    def __init__(self, own: Path | None = None) -> None:
        ours = jinja2.PackageLoader("holdfast.delivery")
        folders: list[jinja2.BaseLoader] = [ours]
        if own is not None:
            _refuse_strangers(own, ours.list_templates())
            folders.insert(0, jinja2.FileSystemLoader(own))
        loader = jinja2.ChoiceLoader(folders)
        self._by_format = {
            suffix: _environment(loader, written) for suffix, written in _WRITTEN.items()
        }

    def render(self, name: str, **values: object) -> str:
        """Return a template with values put in; how they are written its suffix says.

        Raises:
            DeclarationError: a user's template is wrong.
        """
        jinja = self._by_format.get(Path(name).suffix, self._by_format[""])
        try:
            return jinja.get_template(name).render(values)
        except jinja2.TemplateError as exc:
            line = getattr(exc, "lineno", None)
            place = f"{name}:{line}" if line else name
            raise DeclarationError([f"template {place}: {exc}"]) from exc


def _refuse_strangers(own: Path, ours: Sequence[str]) -> None:
    if not own.is_dir():
        raise DeclarationError([f"--templates {own}: there is no such folder"])
    names = (path.relative_to(own).as_posix() for path in sorted(own.rglob("*")) if path.is_file())
    if problems := [
        f"{own / name} replaces no template; those that there are: "
        + ", ".join(get_close_matches(name, ours, 3, 0) or sorted(ours)[:3])
        for name in names
        if name not in ours
    ]:
        raise DeclarationError(problems)


def _environment(loader: jinja2.BaseLoader, written: Callable[[object], str]) -> jinja2.Environment:
    def defined(value: object) -> str:
        """Write a value; one that is not there says so itself, before it is taken for another."""
        return written(str(value) if isinstance(value, jinja2.Undefined) else value)

    environment = jinja2.Environment(
        loader=loader,
        block_start_string="[%",
        block_end_string="%]",
        variable_start_string="[=",
        variable_end_string="=]",
        comment_start_string="[#",
        comment_end_string="#]",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701  # none of the formats is HTML
        finalize=defined,
    )
    environment.filters |= {"plain": Written, "json": json_text, "digest": digest}
    return environment


class Written(str):
    """A text that is written as it is."""

    __slots__ = ()


def json_text(value: object) -> Written:
    """Return a value as JSON on one line."""
    return Written(json.dumps(value, ensure_ascii=False))


def yaml_scalar(value: object) -> str:
    """Return a value on one line of YAML."""
    if isinstance(value, Written):
        return value
    if isinstance(value, str):
        return f'"{value}"' if HELM in value else yaml_text(value)
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return "{" + ", ".join(f"{yaml_scalar(k)}: {yaml_scalar(v)}" for k, v in pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(yaml_scalar, cast("Sequence[object]", value))) + "]"
    # What Helm puts in later knows how it is written; numbers and booleans are JSON.
    return str(value) if isinstance(value, Hole) else json.dumps(value)


def _hcl(value: object) -> str:
    """Write a value of Terraform: as JSON, but `${` and `%{` begin nothing."""
    if isinstance(value, Written):
        return value
    return re.sub(r"([$%])\{", r"\1\1{", json.dumps(value, ensure_ascii=False))


def _text(value: object) -> str:
    return str(value)


_WRITTEN: Final[dict[str, Callable[[object], str]]] = {
    ".yaml": yaml_scalar,
    ".yml": yaml_scalar,
    ".tf": _hcl,
    ".hcl": _hcl,
    ".tfvars": _hcl,
    "": _text,
}
"""{suffix of a template: how values are written in it}."""
