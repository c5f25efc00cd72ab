"""Loads a file that declares a system, under a module name of its own."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from holdfast import System

HERE = Path(__file__).parent


def load(path: Path) -> ModuleType:
    """Return the module of a file, loaded anew."""
    name = f"declared_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def system_of(path: Path) -> System:
    """Return the `system` that a file declares."""
    found: System = load(path).system
    return found
