"""Rewrite: what a new revision is told to do, from what Alembic found.

Alembic would drop what the code no longer has, and does not compare CHECKs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column

from holdfast.migrations.schema import Schema
from holdfast.migrations.scratch import Verbatim


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Retires or drops what the code no longer has, and adds what Alembic does not look for.

    Attributes:
        made, wanted: what the revisions make, and what the code declares.
        retired: what earlier revisions have retired, `table.column` or `table`.
        contract: that is dropped now, and nothing else is retired.
        retires: what this revision retires.
    """

    made: Schema
    wanted: Schema
    retired: frozenset[str]
    contract: bool
    retires: set[str] = field(default_factory=set[str])

    def differs(self, aspect: str) -> Callable[..., bool]:
        """Return what Alembic asks of a column's type or default."""

        def asked(context: object, inspected: object, column: Column[object], *_: object) -> bool:
            fact = (column.table.name, column.name, aspect)
            return self.made.get(fact) != self.wanted.get(fact)

        return asked

    def __call__(
        self, context: MigrationContext, revision: object, directives: list[ops.MigrationScript]
    ) -> None:
        """Change what Alembic is about to write; it hands over a list of one script."""
        [script] = directives
        upgrade, config = script.upgrade_ops, context.config
        assert upgrade is not None and config is not None
        found = upgrade.ops
        gone = {op.table_name for op in found if isinstance(op, ops.DropTableOp)}
        changes: dict[str, list[ops.MigrateOperation]] = {}
        whole: list[ops.MigrateOperation] = []
        for op in found:
            if isinstance(op, ops.ModifyTableOps) and op.table_name not in gone:
                changes[op.table_name] = [c for c in op.ops if self._keeps(c, op.table_name)]
                changes[op.table_name] += [c for old in op.ops for c in self._lets(old)]
            elif not isinstance(op, ops.DropTableOp | ops.ModifyTableOps) or self._drops(
                op.table_name
            ):
                whole.append(op)
        for table, op in self._checks():
            changes.setdefault(table, []).append(op)
        whole += [ops.ModifyTableOps(table, made) for table, made in changes.items() if made]
        upgrade.ops = whole
        config.attributes["retires"] = tuple(sorted(self.retires))

    def _drops(self, name: str) -> bool:
        """Whether something is dropped now; what is not retired yet is retired."""
        if name not in self.retired and not self.contract:
            self.retires.add(name)
        return self.contract and name in self.retired

    def _keeps(self, op: ops.MigrateOperation, table: str) -> bool:
        """Whether a change of a table is written as Alembic found it."""
        match op:
            case ops.DropColumnOp():
                return self._drops(f"{table}.{op.column_name}")
            case ops.DropIndexOp() | ops.DropConstraintOp():
                of = {str(c.name) for c in getattr(op.to_diff_tuple()[1], "columns", ())}
                lost = {name for name in of if (table, name) not in self.wanted}
                return self.contract or not lost
            case ops.AlterColumnOp() if isinstance(op.existing_type, Verbatim):
                op.existing_type = None  # nobody could import it
                return True
            case _:
                return True

    def _lets(self, op: ops.MigrateOperation) -> Iterator[ops.MigrateOperation]:
        """Yield what lets rows in that have no value for a column which is retired now."""
        if not isinstance(op, ops.DropColumnOp) or self.contract:
            return
        column = (op.table_name, op.column_name)
        must = self.made[(*column, "nullability")] == "NOT NULL"
        if must and (*column, "server_default") not in self.made:
            yield ops.AlterColumnOp(*column, modify_nullable=True, existing_nullable=False)

    def _checks(self) -> Iterator[tuple[str, ops.MigrateOperation]]:
        """Yield the changes of named CHECKs, each with its table."""
        tables = {fact for fact in self.made.keys() & self.wanted.keys() if len(fact) == 1}
        for fact in sorted(self.made.keys() | self.wanted.keys()):
            old, new = self.made.get(fact), self.wanted.get(fact)
            if len(fact) != 2 or fact[:1] not in tables or old == new:
                continue
            name = fact[1].removeprefix("CHECK ")
            if name == fact[1] or not name.isidentifier():
                continue
            if old is not None:
                yield fact[0], ops.DropConstraintOp(name, fact[0], "check")
            if new is not None:
                yield fact[0], ops.CreateCheckConstraintOp(name, fact[0], new)
