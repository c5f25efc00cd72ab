"""`make mutants ARGS="resilience --sample 200 --seed 1"`: do tests notice small changes?

Each mutant meets the narrow tests of its module, as tests.toml names them; those that survive meet
the wide ones of its folder. What still survives is either something that no test can see, and
stands with its reason in equivalent.toml, or something that a test should be written for.
"""

import argparse
import math
import random
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.mutants.changes import Mutant, Place, places
from tests.mutants.judge import Judge, Verdict

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SOURCE = ROOT / "src" / "holdfast"

Table = dict[str, dict[str, list[str]]]
Key = tuple[str, str, str, str]


def main() -> int:
    """Read the options, draw the mutants, judge them, report. 1: a mutant survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    table = tomllib.loads((HERE / "tests.toml").read_text())
    parser.add_argument(
        "modules", nargs="*", default=list(table), help="folders or files below src/holdfast"
    )
    parser.add_argument("--sample", type=int, default=100, help="mutants of each folder or file")
    parser.add_argument("--seed", type=int, default=1, help="decides which")
    parser.add_argument("--narrow", action="store_true", help="leave the wide tests out")
    options = parser.parse_args()
    equivalent = known_equivalent()
    rows: list[str] = []
    survived = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        judge = Judge(ROOT, Path(folder))
        for name in options.modules:
            population, drawn = draw(name, options.sample, options.seed)
            alive = [mutant for mutant in drawn if mutant.key not in equivalent]
            counts = Counter({"equivalent": len(drawn) - len(alive)})
            for mutant, verdict in meet(judge, alive, table, is_narrow=options.narrow):
                counts[verdict] += 1
                if verdict is Verdict.SURVIVED:
                    print(f"survived: {mutant}", flush=True)
            survived += counts[Verdict.SURVIVED]
            rows.append(row(name, population, counts, options.seed))
    print("\n".join(rows))
    return 1 if survived else 0


def known_equivalent() -> set[Key]:
    """Return the mutants that no test can see; those of code that is gone are printed."""
    known: set[Key] = set()
    for entry in tomllib.loads((HERE / "equivalent.toml").read_text())["mutant"]:
        path = SOURCE / entry["module"]
        source = " ".join(path.read_text().split()) if path.exists() else ""
        if " ".join(entry["before"].split()) not in source:
            print(f"equivalent.toml: {entry['module']} has no longer: {entry['before']}")
        known.add((entry["module"], entry["within"], entry["before"], entry["after"]))
    return known


def draw(name: str, sample: int, seed: int) -> tuple[int, list[Mutant]]:
    """Return how many changes there are below a folder, and so many of them by chance."""
    path = SOURCE / name
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    everything: list[tuple[str, Place]] = [
        (file.relative_to(SOURCE).as_posix(), place)
        for file in files
        for place in places(file.read_text())
    ]
    shuffled = random.Random(seed).sample(everything, len(everything))
    return len(everything), list(_first(shuffled, sample))


def _first(shuffled: list[tuple[str, Place]], sample: int) -> Iterator[Mutant]:
    seen: set[tuple[str, str]] = set()
    for module, place in shuffled:
        if len(seen) == sample:
            return
        code = place.source()
        if code is not None and (module, code) not in seen:
            seen.add((module, code))
            yield Mutant(module, place.within, *place.lines(code), code)


def tests_of(table: Table, module: str, *, is_narrow: bool) -> list[list[str]]:
    """Return the tests of a module: its own, those of its folder, and the wide ones."""
    folder = next(name for name in table if module == name or module.startswith(f"{name}/"))
    entry = table[folder]
    own = entry.get(Path(module).name, entry["narrow"])
    return [own, entry["narrow"]] if is_narrow else [own, entry["narrow"], entry["wide"]]


def meet(
    judge: Judge, mutants: list[Mutant], table: Table, *, is_narrow: bool
) -> Iterator[tuple[Mutant, Verdict]]:
    """Let mutants meet their tests, one round after the other, until they are killed."""
    alive = {mutant: tests_of(table, mutant.module, is_narrow=is_narrow) for mutant in mutants}
    sifted = list(alive)  # those that others may be met with
    for turn in (0, 1):
        groups: dict[tuple[str, ...], list[Mutant]] = {}
        for mutant in sifted:
            groups.setdefault(tuple(alive[mutant][turn]), []).append(mutant)
        sifted = []
        for tests, group in groups.items():
            print(f"{len(group)} meet {' '.join(tests)}", file=sys.stderr, flush=True)
            for mutant, verdict in zip(group, judge.sift(group, tests), strict=True):
                if verdict is Verdict.SURVIVED:
                    sifted.append(mutant)
                elif verdict is not None:
                    del alive[mutant]
                    yield mutant, verdict
    print(f"{len(alive)} need a process of their own", file=sys.stderr, flush=True)
    for mutant, rounds in alive.items():
        yield mutant, alone(judge, mutant, rounds)


def alone(judge: Judge, mutant: Mutant, rounds: list[list[str]]) -> Verdict:
    """Let one mutant meet its tests, in processes that have never seen the code as it was."""
    for tests in rounds:
        verdict = judge.judge(mutant, tests)
        if verdict is not Verdict.SURVIVED:
            return verdict
    return Verdict.SURVIVED


def row(name: str, population: int, counts: Counter[str], seed: int) -> str:
    """Return one line of the report, with the interval of 95 % confidence for all changes."""
    killed = counts[Verdict.KILLED] + counts[Verdict.ENDLESS]
    told = killed + counts[Verdict.SURVIVED]
    low, high = interval(killed, told)
    return (
        f"{name}: {counts.total()} of {population} changes (seed {seed}): {killed} killed "
        f"({counts[Verdict.ENDLESS]} by time), {counts[Verdict.SURVIVED]} survived, "
        f"{counts['equivalent']} equivalent; {killed / max(told, 1):.1%} killed, "
        f"of all {low:.0%} to {high:.0%}"
    )


def interval(hits: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's interval of a share."""
    if not total:
        return 0.0, 1.0
    share = hits / total
    centre = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    whole = 1 + z * z / total
    return (centre - half) / whole, (centre + half) / whole


if __name__ == "__main__":
    sys.exit(main())
