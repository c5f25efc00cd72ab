"""Says what is wrong with the revisions that are written, before any database runs them."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Computed

from holdfast.migrations.breaking import breaking, named
from holdfast.migrations.revisions import FRAMEWORK, Revisions
from holdfast.migrations.schema import Schema, differences
from holdfast.migrations.upgrade import over, stored_revisions
from holdfast.migrations.written import declared_by, made_by, own_scripts, retired_by


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `migrate --check` found.

    Attributes:
        problems: one line each.
        done: what was looked at.
    """

    problems: Sequence[str]
    done: str


async def verdict(revisions: Revisions, url: str | None) -> Verdict:
    """Judge the revisions of a service.

    Args:
        url: of a database at the version that is running: what it lacks comes with one release.
            Without one, or if it is a SQLite file that is not there, each revision is a release,
            and is held against those before it.
    """
    own = own_scripts(revisions)
    if url is None or (url.startswith("sqlite:") and not os.path.exists(url[len("sqlite:///") :])):  # noqa: ASYNC240
        releases = [[script] for script in own]
        done = f"{len(own)} revisions, each after those before it"
    else:
        at = await over(url, revisions, stored_revisions)
        pending = [s for s in revisions.pending(at) if not s.revision.startswith(FRAMEWORK)]
        releases = [pending]
        done = f"{len(pending)} of {len(own)} revisions, which the database lacks"
    problems: list[str] = []
    for release in releases:
        before = own[: own.index(release[0])] if release else own
        problems += breaking(release, retired=retired_by(before)) if before else []
    if revisions.managed:
        made, wanted = made_by(revisions), declared_by(revisions)
        retired = retired_by(own)
        problems += _retired_in_vain(made, wanted, revisions)
        problems += _virtual_by_chance(revisions)
        problems += [
            f"{change}: no revision changes that; run `{revisions.command} --new …`"
            for change in differences(made, wanted, retired=retired)
        ]
        done += ", and the tables in the code"
    return Verdict([f"{revisions.service.name}: {problem}" for problem in problems], done)


def _retired_in_vain(made: Schema, wanted: Schema, revisions: Revisions) -> Iterator[str]:
    """Yield what is retired and stands in the code, or in the code's way."""
    for script in own_scripts(revisions):
        for name in named(script, "retires"):
            fact = tuple(name.split("."))
            if fact in wanted and fact in made:
                yield f"{script.revision} retires {name}, which the code still has"
            elif fact in made and _is_asked_for(made, fact):
                yield (
                    f"{script.revision} retires {name}, which is NOT NULL without a "
                    "server_default: this code inserts rows without it; let the revision make "
                    "it nullable"
                )


def _is_asked_for(made: Schema, fact: tuple[str, ...]) -> bool:
    must = made.get((*fact, "nullability")) == "NOT NULL"
    given = {"server_default", "expression"}.intersection(
        f[2] for f in made if f[:2] == fact and len(f) > 2
    )
    return must and not given


def _virtual_by_chance(revisions: Revisions) -> Iterator[str]:
    """Yield computed columns that one version of SQLAlchemy stores and another does not."""
    for metadata in revisions.service.metadata:
        for table in metadata.sorted_tables:
            for column in table.columns:
                if isinstance(column.computed, Computed) and column.computed.persisted is None:
                    yield (
                        f"{table.name}.{column.name} is computed, and whether it is stored depends "
                        "on the version of SQLAlchemy; say Computed(…, persisted=True) or False"
                    )
