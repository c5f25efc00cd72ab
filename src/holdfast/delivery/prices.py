"""Prices: what a core, a GiB and a database cost somebody, and what load they expect.

They are in a file of whoever pays, for no price of another one is right for long.
"""

import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast, get_args

from holdfast.errors import DeclarationError
from holdfast.system.deploy import Size

PRICES: Final = ("cpu_hour", "gib_hour", "storage_gib_month", "egress_gib")
SIZES: Final[tuple[str, ...]] = get_args(Size)
LOADS: Final = ("cpu_ms", "answer_kib")
Table = dict[str, Any]
"""A table of TOML, before it was looked at."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is expected on average.

    Attributes:
        cpu_ms: milliseconds of a core that a request or a letter takes in one process.
        answer_kib: KiB that leave to the client for a request.
        per_second: {environment: {workload: requests or letters a second}}; a workload that is not
            there has none, and of an environment that is not there nothing is expected.
    """

    cpu_ms: float
    answer_kib: float
    per_second: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Prices:
    """What things cost, in one currency.

    Attributes:
        currency: only to be printed.
        cpu_hour, gib_hour: a core, and a GiB of memory, for an hour.
        storage_gib_month: a GiB of a disk, for a month.
        egress_gib: a GiB that leaves to clients.
        databases: {size of an environment: a managed database of that size, for a month}.
    """

    currency: str
    cpu_hour: float
    gib_hour: float
    storage_gib_month: float
    egress_gib: float
    databases: Mapping[str, float]
    load: Load | None


def read_prices(path: Path, *, workloads: Sequence[str], environments: Sequence[str]) -> Prices:
    """Read a file of prices, in TOML.

    Args:
        workloads, environments: of which, and in which, a load may be expected.
    Raises:
        DeclarationError: it cannot be read, or something in it is wrong; each with its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = tomllib.loads(text)
    except OSError as exc:
        raise DeclarationError([f"{path}: {exc.strerror}; give another file"]) from exc
    except ValueError as exc:
        raise DeclarationError([f"{path}: {exc}; mend it"]) from exc
    reader = _Reader(path, text)
    if problems := list(reader.problems(found, workloads, environments)):
        raise DeclarationError(problems)
    load = found.get("load")
    return Prices(
        currency=found["currency"],
        databases=found["databases"],
        load=None if load is None else Load(**load),
        **{name: found[name] for name in PRICES},
    )


class _Reader:
    """Finds what is wrong in a file, and where."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._lines = path, text.splitlines()

    def problems(
        self, found: Table, workloads: Sequence[str], environments: Sequence[str]
    ) -> Iterator[str]:
        """Yield what is wrong, each with its line."""
        yield from self._keys("", found, ("currency", *PRICES, "databases"), may=("load",))
        yield from self._numbers("", {name: found[name] for name in PRICES if name in found})
        if not isinstance(found.get("currency", ""), str):
            yield f'{self._at("", "currency")}: currency: write a text, as "EUR"'
        for name, wanted in (("databases", SIZES), ("load", (*LOADS, "per_second"))):
            if name in found and (table := self._table(found[name])) is not None:
                yield from self._keys(name, table, wanted)
                numbers = {key: table[key] for key in wanted if key in table}
                rates = self._table(numbers.pop("per_second", {}))
                yield from self._numbers(name, numbers)
                if rates is None:
                    yield f"{self._at(name, 'per_second')}: write [load.per_second.ENVIRONMENT]"
                yield from self._rates(rates or {}, workloads, environments)
            elif name in found:
                yield f"{self._at('', name)}: {name} is a table; write [{name}]"

    def _rates(
        self, rates: Table, workloads: Sequence[str], environments: Sequence[str]
    ) -> Iterator[str]:
        yield from self._keys("load.per_second", rates, (), may=environments)
        for environment in environments:
            name = f"load.per_second.{environment}"
            table = self._table(rates.get(environment, {}))
            if table is None:
                yield f"{self._at('load.per_second', environment)}: write [{name}]"
                continue
            yield from self._keys(name, table, (), may=workloads)
            yield from self._numbers(name, table)

    def _table(self, value: object) -> Table | None:
        return cast(Table, value) if isinstance(value, dict) else None

    def _keys(
        self, table: str, found: Table, wanted: Sequence[str], may: Sequence[str] = ()
    ) -> Iterator[str]:
        """Yield which keys are missing, and which are not known."""
        where = f" in [{table}]" if table else ""
        for name in wanted:
            if name not in found:
                yield f"{self._at(table)}: {name} is missing{where}; add it"
        for name in found:
            if name not in (*wanted, *may):
                known = ", ".join((*wanted, *may))
                yield f"{self._at(table, name)}: {name!r} is not known{where}; there is {known}"

    def _numbers(self, table: str, found: Table) -> Iterator[str]:
        for name, value in found.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 <= value < math.inf or (name == "cpu_ms" and value == 0):
                least = "above 0" if name == "cpu_ms" else "0 or more"
                yield f"{self._at(table, name)}: {name} = {value!r}: write a number, {least}"

    def _at(self, table: str, key: str = "") -> str:
        """Return `file:line` of a key, else of the head of its table, else the file."""
        within, head = "", 0
        for number, line in enumerate(self._lines, 1):
            if found := re.match(r"\s*\[([^\]]+)\]", line):
                within = found[1].replace(" ", "").replace('"', "")
                head = number if within == table else head
                if key and within == ".".join(filter(None, (table, key))):
                    return f"{self._path}:{number}"
            elif key and within == table and re.match(rf'\s*"?{re.escape(key)}"?\s*[=.]', line):
                return f"{self._path}:{number}"
        return f"{self._path}:{head}" if head else str(self._path)
