"""What is spelled in one place: environment variables, metrics, and where a process listens."""

import ast
import re
from pathlib import Path

import pytest

import holdfast
from holdfast.communication import LOOPBACK, PORT
from holdfast.observability.catalogue import CATALOGUE
from holdfast.runtime import variables
from holdfast.runtime.settings import ProcessSettings
from holdfast.system.settings import variable_name

ROOT = Path(holdfast.__file__).parent
SETTINGS = [variable_name(variables.OURS, field) for field in ProcessSettings.model_fields]
VARIABLES = sorted({v for k, v in vars(variables).items() if k.isupper() and v.isupper()})

SPELLED = {
    **dict.fromkeys([*VARIABLES, *SETTINGS, "_URL"], "runtime/variables.py"),
    **dict.fromkeys([LOOPBACK, str(PORT)], "communication/origin.py"),
    **dict.fromkeys(CATALOGUE, "observability/catalogue.py"),
}
"""{text: the only file of the package that spells it}."""


def constants(file: Path) -> str:
    """Return a file's texts and numbers, a line each: those in f-strings too, docstrings not."""
    tree = ast.parse(file.read_text())
    nodes = list(ast.walk(tree))
    told = {node.value for node in nodes if isinstance(node, ast.Expr)}
    found = [n for n in nodes if isinstance(n, ast.Constant) and n not in told]
    return "\n".join(str(constant.value) for constant in found)


CONSTANTS = {
    file.relative_to(ROOT).as_posix(): constants(file)
    for file in sorted(ROOT.rglob("*.py"))
    if "consistency" not in file.parts  # it knows no addresses, and another 8000
}


@pytest.mark.parametrize("text", SPELLED)
def test_a_name_is_spelled_in_one_place(text: str) -> None:
    """Who reads or tells it takes it from there; a setting is its field, and nobody spells it."""
    spelled = re.compile(rf"(?<![0-9a-zA-Z]){re.escape(text)}\b")

    assert {file for file, said in CONSTANTS.items() if spelled.search(said)} <= {SPELLED[text]}
