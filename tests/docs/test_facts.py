"""Facts that the documents share with the code: settings, dependencies, the graph, metrics."""

import re
import tomllib
from dataclasses import MISSING, fields

from holdfast import Tokens
from holdfast.gateway.authentication import UNAUTHENTICATED
from holdfast.observability.catalogue import CATALOGUE
from holdfast.runtime import variables
from holdfast.runtime.settings import ProcessSettings
from shop.system import shop
from tests.docs.snippets import ROOT, blocks, section

_IN_THE_IMAGE = ("postgres", "nats", "redis", "otel")


def test_every_setting_is_listed_with_its_default() -> None:
    """The table of settings is `ProcessSettings`, field by field."""
    table = section(ROOT / "docs" / "operations.md", "## Settings")
    listed = dict(re.findall(r"^\| `HOLDFAST_(\w+)` \| `([^`]+)`", table, re.MULTILINE))

    fields = ProcessSettings.model_fields
    assert listed == {name.upper(): str(field.default) for name, field in fields.items()}


def test_every_variable_is_listed() -> None:
    """The table of settings has every variable that `runtime.variables` names, and no other."""
    table = section(ROOT / "docs" / "operations.md", "## Settings")
    listed = set(re.findall(r"^\| `([A-Z_]+)`", table, re.MULTILINE))
    named = {value for name, value in vars(variables).items() if name.isupper()}

    settings = {f"HOLDFAST_{field.upper()}" for field in ProcessSettings.model_fields}
    assert listed == settings | {name for name in named if name.isupper()}


def test_every_dependency_is_explained() -> None:
    """The table of dependencies is that of pyproject.toml, in its order."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [re.split(r"[<>=~]", line)[0] for line in project["dependencies"]]
    table = (ROOT / "docs" / "dependencies.md").read_text()

    assert re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE) == wanted


def test_what_is_needed_is_what_is_locked() -> None:
    """pyproject.toml and requirements/run.in agree; setuptools builds, extras are the shop's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *extras["otel"], *extras["render"]]  # the shop's
    wanted = {re.split(r"[<>=~]", line)[0] for line in needed}
    locked = (ROOT / "requirements" / "run.in").read_text().split()

    assert {re.split(r"[<>=~]", line)[0] for line in locked} - {"setuptools"} == wanted


def test_what_the_image_has_is_what_servers_need() -> None:
    """requirements/image.in is what pyproject.toml needs with the clients of all servers."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *(p for e in _IN_THE_IMAGE for p in extras[e])]
    wanted = {re.split(r"[<>=~]", line)[0] for line in needed}
    listed = (ROOT / "requirements" / "image.in").read_text().splitlines()

    assert {line for line in listed if not line.startswith("-c ")} == wanted
    backend = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    listed = (ROOT / "requirements" / "backend.in").read_text().splitlines()
    assert [line for line in listed if not line.startswith("-c ")] == backend


def test_the_picture_is_the_graph() -> None:
    """The README's picture of the shop is drawn from its declaration."""
    pictures = [b.text for b in blocks(ROOT / "README.md") if b.language == "mermaid"]

    assert pictures == [shop.graph().to_mermaid()]


def test_the_readme_fits() -> None:
    """A reader gets through the README: 150 lines, and code on the first screen."""
    text = (ROOT / "README.md").read_text()

    assert text.count("\n") <= 150
    assert text.index("```python") < 200


def test_what_operations_say_to_watch_is_a_metric() -> None:
    """Its table names metrics of the catalogue."""
    table = section(ROOT / "docs" / "operations.md", "## Metrics")
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| .* \|$", table, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"\w+", row)}

    assert len(named) > 20
    assert named <= set(CATALOGUE)


def test_a_duration_is_a_timedelta_or_says_its_unit() -> None:
    """Nobody guesses whether 5 is seconds: a public number of time has its unit in its name."""
    text = (ROOT / "docs" / "reference.md").read_text()
    fields = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", text, re.MULTILINE)
    parameters = re.findall(r"(\w+): ([\w| .]+?)(?: = |,|\)|\n)", text)
    found = {(name, kind) for name, kind in fields + parameters}
    spans = {name for name, kind in found if "timedelta" in kind}
    numbers = {name for name, kind in found if re.match(r"float|int", kind)}
    times = re.compile(
        r"timeout|delay|duration|period|deadline|wait|life|leeway|within|ttl|horizon"
    )

    assert {"timeout", "delay"} <= spans and {"deadline_s", "ttl_s"} <= numbers
    assert [name for name in spans if name.endswith(("_s", "_ms"))] == []
    assert [n for n in numbers if times.search(n) and not n.endswith(("_s", "_ms"))] == []


def test_every_reason_and_knob_of_tokens_is_listed() -> None:
    """The tables of `docs/tokens.md` are the fields of Tokens, their defaults, and the reasons."""
    page = ROOT / "docs" / "tokens.md"
    knobs = dict(
        re.findall(r"^\| `(\w+)` \| `?(.+?)`? \|", section(page, "## Knobs"), re.MULTILINE)
    )
    reasons = re.findall(
        r"^\| `(\w+)` \|", section(page, "## When a token is refused"), re.MULTILINE
    )

    for field in fields(Tokens):
        default = "" if field.default is MISSING else repr(field.default).replace('"', "'")
        default = "{}" if field.name == "claims" else default
        assert knobs.get(field.name, "").replace('"', "'") == (default or "needed"), field.name
    assert sorted(reasons) == sorted(UNAUTHENTICATED)
