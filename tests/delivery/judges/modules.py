"""Terraform's modules: what is named is declared, and what a resource is given it takes.

There is no binary to ask here; so syntax is python-hcl2's, the arguments are those of the
providers' bindings, and names are looked up by what stands below. Types are not judged.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hcl2

from tests.delivery.judges.providers import Block, Resource, provider, resource
from tests.delivery.judges.terraform_words import FUNCTIONS, META_ARGUMENTS

_REFERENCE = re.compile(
    r"(?<![\w.\"-])([a-z]\w*)\.([a-zA-Z_][\w-]*)(?:\[[^\]]*\])?(?:\.([a-zA-Z_]\w*))?(?:\[[^\]]*\])?(?:\.([a-zA-Z_]\w*))?"
)
_CALL = re.compile(r"(?<![\w.])([a-z]\w*)\(")
_BOUND = re.compile(r"\bfor\s+(\w+)(?:\s*,\s*(\w+))?\s+in\b")


@dataclass(slots=True)
class Module:
    """The files of one folder, taken together.

    Attributes:
        blocks: {kind of block: [(labels, body)]}.
        texts: every expression, with where it stands.
    """

    folder: Path
    blocks: dict[str, list[tuple[tuple[str, ...], dict[str, Any]]]] = field(default_factory=dict)
    texts: list[tuple[str, str]] = field(default_factory=list)

    def names(self, kind: str) -> set[str]:
        """Return the names of the blocks of a kind, joined by dots if they have two."""
        if kind == "locals":
            return {name for _, body in self.blocks.get("locals", []) for name in _own(body)}
        return {".".join(labels) for labels, _ in self.blocks.get(kind, [])}


def module_of(folder: Path, pattern: str = "*.tf") -> Module:
    """Read the files of a folder.

    Raises:
        lark.exceptions.LarkError: a file is no HCL.
    """
    module = Module(folder)
    for file in sorted(folder.glob(pattern)):
        with file.open() as opened:
            read = hcl2.load(opened)
        for kind, bodies in read.items():
            for body in bodies if isinstance(bodies, list) else [bodies]:
                for labels, inner in _labelled(body):
                    module.blocks.setdefault(kind, []).append((labels, inner))
                    place = " ".join((kind, *labels))
                    module.texts += [(place, text) for text in _texts(inner)]
    return module


def module_problems(folder: Path) -> list[str]:
    """Return what is wrong with the module in a folder, and with its tests beside it."""
    module = module_of(folder)
    tests = [module_of(one, "*.tftest.hcl") for one in (folder, folder / "tests") if one.is_dir()]
    found = [*_unknown_arguments(module), *_unknown_names(module, module)]
    found += [*_idle(module, tests), *_calls(module), *_documented(module)]
    for test in tests:
        found += [f"test: {line}" for line in _unknown_names(test, module)]
    return [f"{folder.name}: {line}" for line in dict.fromkeys(found)]


def _labelled(body: Any, labels: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield (labels, body) of a block: its labels are quoted keys around what is the block."""
    if not isinstance(body, dict) or body.get("__is_block__"):
        yield labels, body
        return
    for key, inner in body.items():
        yield from _labelled(inner, (*labels, key.strip('"')))


def _own(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if not key.startswith("__")}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if "${" in key:
                yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


def _unknown_arguments(module: Module) -> Iterator[str]:
    for kind in ("resource", "data"):
        for (name, label), body in module.blocks.get(kind, []):
            place = f"{kind} {name}.{label}"
            schema = resource(name, data=kind == "data")
            if schema is None:
                yield f"{place}: no provider has it"
            else:
                yield from _judged(place, body, schema, schema.blocks[schema.root], top=True)
    for (name,), body in module.blocks.get("provider", []):
        schema = provider(name)
        if schema is not None:
            yield from _judged(
                f"provider {name}", body, schema, schema.blocks[schema.root], top=True
            )


def _judged(
    place: str, body: dict[str, Any], schema: Resource, block: Block, *, top: bool = False
) -> Iterator[str]:
    """Yield arguments that a block does not take, and those that it needs; inside it too."""
    given: dict[str, list[Any]] = {}
    for key, value in _own(body).items():
        if key == "dynamic":
            for entry in value:
                for name, inner in _labelled(entry):
                    given.setdefault(name[0], []).extend(inner.get("content", []))
        else:
            given.setdefault(key, []).extend(value if isinstance(value, list) else [value])
    for key, values in given.items():
        if top and key in META_ARGUMENTS:
            continue
        if key not in block.takes:
            yield f"{place}: does not take {key}"
            continue
        inner_block = schema.blocks.get(block.takes[key])
        for value in values:
            if isinstance(value, dict) and value.get("__is_block__") and inner_block is not None:
                yield from _judged(f"{place}.{key}", value, schema, inner_block)
    yield from (f"{place}: needs {key}" for key in sorted(block.needs - given.keys()))


def _unknown_names(within: Module, module: Module) -> Iterator[str]:
    """Yield names in the expressions of `within` that `module` does not declare."""
    variables = module.names("variable") | within.names("variable")
    for place, text in within.texts:
        if "${" not in text:
            continue
        bound = {name for pair in _BOUND.findall(text) for name in pair if name}
        bound |= {labels[-1] for labels in _dynamics(within)}
        for match in _REFERENCE.finditer(_without_texts(text)):
            first, second, third, fourth = match.groups()
            if first in bound or first in ("each", "count", "self", "path", "terraform", "run"):
                continue
            if first == "var" and second not in variables:
                yield f"{place}: there is no variable {second}"
            elif first == "local" and second not in module.names("locals"):
                yield f"{place}: there is no local {second}"
            elif first == "module" and second not in module.names("module"):
                yield f"{place}: there is no module {second}"
            elif first == "module" and third and third not in _outputs(module, second):
                yield f"{place}: module {second} gives no {third}"
            elif first == "output" and second not in module.names("output"):
                yield f"{place}: there is no output {second}"
            elif first == "data":
                yield from _referred(place, module, "data", second, third, fourth)
            elif "_" in first:
                yield from _referred(place, module, "resource", first, second, third)
        for name in _CALL.findall(_without_texts(text)):
            if name not in FUNCTIONS:
                yield f"{place}: there is no function {name}"


def _referred(
    place: str, module: Module, block: str, kind: str, name: str | None, given: str | None
) -> Iterator[str]:
    if f"{kind}.{name}" not in module.names(block):
        yield f"{place}: there is no {block} {kind}.{name}"
        return
    schema = resource(kind, data=block == "data")
    known = set() if schema is None else schema.gives | schema.blocks[schema.root].takes.keys()
    if given and schema is not None and given not in known:
        yield f"{place}: {kind} gives no {given}"


def _dynamics(module: Module) -> list[tuple[str, ...]]:
    """Return the labels of dynamic blocks, by which their contents call the element."""
    return [
        labels
        for blocks in module.blocks.values()
        for _, body in blocks
        for labels in _dynamic_labels(body)
    ]


def _dynamic_labels(value: Any) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "dynamic":
                for entry in inner:
                    yield from (labels for labels, _ in _labelled(entry))
            yield from _dynamic_labels(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _dynamic_labels(inner)


def _without_texts(text: str) -> str:
    """Return the expressions of a text: what is quoted inside them, or stands around, is blank."""
    kept, depth, quoted, at = [], 0, False, 0
    while at < len(text):
        if text.startswith(("${", "%{"), at):
            depth, quoted, at = depth + 1, False, at + 2
            kept.append(" ")
            continue
        character = text[at]
        if depth and character == '"' and text[at - 1] != "\\":
            quoted = not quoted
        if depth and character == "{" and not quoted:
            depth += 1
        if depth and character == "}" and not quoted:
            depth -= 1
        kept.append(character if depth and not quoted else " ")
        at += 1
    return "".join(kept)


def _outputs(module: Module, name: str) -> set[str]:
    inner = _called(module, name)
    return set() if inner is None else inner.names("output")


def _called(module: Module, name: str) -> Module | None:
    for labels, body in module.blocks.get("module", []):
        source = str(body.get("source", "")).strip('"')
        if labels == (name,) and source.startswith("."):
            return module_of((module.folder / source).resolve())
    return None


def _calls(module: Module) -> Iterator[str]:
    """Yield arguments of modules that those do not know, and variables that they need."""
    for labels, body in module.blocks.get("module", []):
        inner = _called(module, labels[0])
        if inner is None:
            yield f"module {labels[0]}: is not in a folder here, so nothing says what it takes"
            continue
        given = _own(body).keys() - META_ARGUMENTS - {"source", "version", "providers"}
        declared = {name[0]: variable for name, variable in inner.blocks.get("variable", [])}
        needed = {name for name, variable in declared.items() if "default" not in variable}
        yield from (
            f"module {labels[0]}: does not take {n}" for n in sorted(given - declared.keys())
        )
        yield from (f"module {labels[0]}: needs {name}" for name in sorted(needed - given))


def _idle(module: Module, tests: list[Module]) -> Iterator[str]:
    """Yield variables, locals and data that nothing reads."""
    read = " ".join(text for one in (module, *tests) for _, text in one.texts)
    for kind, word in (("variable", "var."), ("locals", "local."), ("data", "data.")):
        for name in sorted(module.names(kind)):
            if not re.search(rf"(?<![\w.]){re.escape(word + name)}(?![\w-])", read):
                yield f"{word}{name}: nothing reads it"


def _documented(module: Module) -> Iterator[str]:
    """Yield variables without a type or a description, and outputs without one."""
    for kind, wanted in (("variable", ("type", "description")), ("output", ("description",))):
        for labels, body in module.blocks.get(kind, []):
            yield from (f"{kind} {labels[0]}: no {word}" for word in wanted if word not in body)
