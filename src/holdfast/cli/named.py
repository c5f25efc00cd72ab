"""Finds the System that a name on the command line stands for."""

import os
import shlex
import sys
import traceback
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from holdfast import system as declarations
from holdfast.consistency.told import place_of
from holdfast.errors import DeclarationError, HoldfastError, UnknownName
from holdfast.system import System


@dataclass(frozen=True, slots=True)
class Loaded:
    """A system and the module that declares it.

    Attributes:
        name: as it was typed.
    """

    system: System
    module: ModuleType
    name: str

    @property
    def package(self) -> str:
        """The package in which further modules of the system are: `shop` of `shop.system`."""
        return self.module.__name__.removesuffix(".system")

    def typed(self, data: Path | None) -> str:
        """Return what another command is given to be about the same system and data folder."""
        return self.name if data is None else f"{self.name} --data {shlex.quote(str(data))}"


def load(name: str) -> Loaded:
    """Return the system `name`: `shop` is the System in `shop.system` or `shop`.

    `module:attribute` says it exactly. The working directory is searched first.

    Raises:
        UnknownName: there is no such module or attribute, it is no System, or the module cannot
            be imported.
        DeclarationError: the module itself found that its declaration is wrong, or gives arguments
            that Holdfast does not take.
    """
    _search_here()
    module_name, colon, attribute = name.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise UnknownName(f"{name!r} is not the name of a system, such as `shop` or `shop.system`")
    if colon:
        module = _module(module_name)
        if module is None:
            raise UnknownName(f"there is no module {module_name!r} in {os.getcwd()}")
        return Loaded(_attribute(module, attribute), module, name)
    whole = _module(module_name)
    part = _module(f"{module_name}.system") if hasattr(whole, "__path__") else None
    for module in (part, whole):
        system = None if module is None else _only_system(module)
        if module is not None and system is not None:
            return Loaded(system, module, name)
    raise UnknownName(
        f"there is no system {name!r}: neither {module_name}.system nor {module_name} is a module "
        f"with a System, seen from {os.getcwd()}"
    )


def demo_of(name: str) -> ModuleType:
    """Return the module `<package>.demo` of a system. Raises UnknownName."""
    loaded = load(name)
    module = _module(f"{loaded.package}.demo")
    if module is None or not hasattr(module, "main"):
        raise UnknownName(f"{name} has no demo: no function `main` in {loaded.package}.demo")
    return module


def _with_module(name: str, part: str) -> Loaded:
    """Return a system with what the module `<package>.<part>` declares for it, if there is one."""
    loaded = load(name)
    _module(f"{loaded.package}.{part}")
    return loaded


def simulated(name: str) -> System:
    """Return a system with what `<package>.simulation` declares for it. Raises UnknownName."""
    loaded = _with_module(name, "simulation")
    if loaded.system.simulated.workload is None:
        raise UnknownName(
            f"{name} declares no workload: write `@{loaded.system.name}.workload` above an async "
            f"function in {loaded.package}.simulation"
        )
    return loaded.system


def offered(name: str) -> System:
    """Return a system with what `<package>.traffic` declares for it. Raises UnknownName."""
    loaded = _with_module(name, "traffic")
    if loaded.system.offered.offers is None:
        raise UnknownName(
            f"{name} declares no traffic: write `@{loaded.system.name}.traffic` above an async "
            f"function in {loaded.package}.traffic"
        )
    return loaded.system


def _search_here() -> None:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)


def _module(name: str) -> ModuleType | None:
    """Import a module; None when there is none of that name."""
    try:
        return import_module(name)
    except HoldfastError:
        raise
    except Exception as exc:  # anything may go wrong in somebody's module, a typo above all
        if isinstance(exc, ModuleNotFoundError) and f"{name}.".startswith(f"{exc.name}."):
            return None
        where = f"{exc.filename}:{exc.lineno}" if isinstance(exc, SyntaxError) else _line_of(exc)
        if isinstance(exc, TypeError) and _is_of_ours(str(exc)):
            raise DeclarationError([f"{where}: {exc}"]) from exc
        raise UnknownName(
            f"{name} cannot be imported: {type(exc).__name__}: {' '.join(str(exc).split())} "
            f"({where})"
        ) from exc


def _line_of(exc: BaseException) -> str:
    """Return the innermost line of the user's code; what refuses it is ours, or a library's."""
    place, _, _ = place_of(exc).rpartition(" in ")
    if place:
        return place
    last = traceback.extract_tb(exc.__traceback__)[-1]
    return f"{last.filename}:{last.lineno}"


def _is_of_ours(said: str) -> bool:
    """Whether a TypeError is of a call of Holdfast's own: `Slo.__init__() got an …`."""
    name, called, _ = said.partition("() ")
    return bool(called) and name.partition(".")[0] in declarations.__all__


def _attribute(module: ModuleType, attribute: str) -> System:
    found = getattr(module, attribute, None)
    if not isinstance(found, System):
        what = "has no" if found is None else "has, but not as a System,"
        known = ", ".join(_systems(module)) or "none"
        raise UnknownName(f"{module.__name__} {what} {attribute!r}; its systems: {known}")
    return found


def _only_system(module: ModuleType) -> System | None:
    systems = _systems(module)
    if len({id(system) for system in systems.values()}) > 1:
        raise UnknownName(
            f"{module.__name__} has several systems; say which: "
            + ", ".join(f"{module.__name__}:{name}" for name in systems)
        )
    return next(iter(systems.values()), None)


def _systems(module: ModuleType) -> dict[str, System]:
    return {name: value for name, value in vars(module).items() if isinstance(value, System)}
