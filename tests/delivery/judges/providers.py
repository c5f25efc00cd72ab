"""What the resources of Terraform's providers take and give, read from wheels of their bindings.

The wheels are read as archives and parsed, never imported. Each resource has a module, in which
`<Resource>Config` takes what a block takes, and properties of `<Resource>` are what it gives.
"""

import ast
import functools
import re
import zipfile
from dataclasses import dataclass

from tests.delivery.judges.programs import archive

ARCHIVES = {
    "aws": "cdktf_cdktf_provider_aws-*.whl",
    "google": "cdktf_cdktf_provider_google-*.whl",
}
META = frozenset(
    ("connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioners")
)
"""What the bindings add to each resource; Terraform itself takes most of them everywhere."""


@dataclass(frozen=True, slots=True)
class Block:
    """What one block takes: {argument: the class of the blocks inside it, or ""}."""

    takes: dict[str, str]
    needs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of resource, or of data: its blocks by class, and what it gives."""

    root: str
    blocks: dict[str, Block]
    gives: frozenset[str]


@functools.cache
def resource(kind: str, *, data: bool = False) -> Resource | None:
    """Return what a kind such as `aws_eks_cluster` takes, or None if no provider here has it.

    Args:
        data: whether it is a source of data.
    """
    provider, _, name = kind.partition("_")
    if provider not in ARCHIVES:
        return None
    with _opened(provider) as bindings:
        folder = f"data_{kind}" if data else name
        path = f"cdktf_cdktf_provider_{provider}/{folder}/__init__.py"
        if path not in bindings.namelist():
            return None
        tree = ast.parse(bindings.read(path))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    root = next(name for name, node in classes.items() if _extends(node, "Terraform"))
    blocks = {name: _block(node, classes) for name, node in classes.items()}
    return Resource(f"{root}Config", blocks, frozenset(_properties(classes[root])))


@functools.cache
def provider(name: str) -> Resource | None:
    """Return what the block of a provider takes."""
    with _opened(name) as bindings:
        tree = ast.parse(bindings.read(f"cdktf_cdktf_provider_{name}/provider/__init__.py"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    root = next(key for key in classes if re.fullmatch(rf"{name}ProviderConfig", key, re.I))
    blocks = {key: _block(node, classes) for key, node in classes.items()}
    return Resource(root, blocks, frozenset())


def _opened(provider: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(archive(ARCHIVES[provider]))


def _extends(node: ast.ClassDef, kind: str) -> bool:
    return any(kind in ast.unparse(base) for base in node.bases)


def _block(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> Block:
    """Return what a class's constructor takes by name."""
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            takes, needs = {}, set()
            arguments = part.args
            for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
                name = argument.arg.rstrip("_")
                said = ast.unparse(argument.annotation) if argument.annotation else ""
                inner = [word for word in re.findall(r"\w+", said) if word in classes]
                takes[name] = inner[0] if inner else ""
                if default is None:
                    needs.add(name)
            return Block(takes, frozenset(needs - META))
    return Block({}, frozenset())


def _properties(node: ast.ClassDef) -> set[str]:
    return {
        part.name
        for part in node.body
        if isinstance(part, ast.FunctionDef)
        and any("property" in ast.unparse(one) for one in part.decorator_list)
        and not part.name.endswith("_input")
    }
