"""SQLite with the values of Postgres: times with zones, exact decimals, and what fits a column.

Times with a zone are kept as UTC text of one length, so that text order is time order. NUMERICs
are numbers, which hold 15 digits; one with more is refused, and those of a declared scale are read
with it.
"""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from sqlalchemy import Dialect, Engine, Numeric, create_engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.base import DATETIME
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.pool import StaticPool
from sqlalchemy.types import TIMESTAMP, DateTime

from holdfast.engines.fits import check_of
from holdfast.engines.refusals import look_at_values

DIGITS = 15  # those of a decimal that a REAL gives back
_WIDE = Context(prec=100, rounding=ROUND_HALF_UP)


class Moment(DATETIME):
    """A time: in UTC if its column has a zone, as Postgres gives it back."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:
        """Return what makes text of a time."""
        write: Any = super().bind_processor(dialect)
        zoned, check = self.timezone, check_of(self, dialect)
        assert check is not None

        def process(value: object) -> object:
            if why := check(value):
                raise ValueError(why)
            if zoned and isinstance(value, datetime):
                value = value.astimezone(UTC).replace(tzinfo=None)
            return write(value)

        return process

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Return what makes a time of text."""
        read: Any = super().result_processor(dialect, coltype)
        if not self.timezone:
            return read

        def process(value: object) -> object:
            return None if value is None else read(value).replace(tzinfo=UTC)

        return process


class Exact(Numeric[Decimal]):
    """A decimal: rounded to its scale as Postgres does, and read with it."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:
        """Return what makes a number of a decimal."""
        unit = None if self.scale is None else Decimal(1).scaleb(-self.scale)

        def process(value: object) -> object:
            if not isinstance(value, Decimal | int | float) or value != value:
                return value
            number = value if isinstance(value, Decimal) else Decimal(repr(value))
            if unit is not None and number.is_finite():
                number = number.quantize(unit, context=_WIDE)
            return _number(number)

        return process

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Return what makes a decimal of a number."""
        if not self.asdecimal:
            return _as_float
        unit = None if self.scale is None else Decimal(1).scaleb(-self.scale)

        def process(value: float | int | str | None) -> Decimal | None:
            if value is None:
                return None
            number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
            return number if unit is None else number.quantize(unit, context=_WIDE)

        return process


def _as_float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _number(number: Decimal) -> int | float:
    """Return the number that SQLite keeps. Raises ValueError if it would keep another one."""
    if number == number.to_integral_value() and abs(number) < 1 << 63:
        return int(number)
    if len(number.normalize(_WIDE).as_tuple().digits) > DIGITS:
        raise ValueError(
            f"SQLite keeps {DIGITS} digits of a decimal with a fraction, and {number} has more; "
            "use Postgres for it"
        )
    return float(number)


class SqliteDialect(SQLiteDialect_pysqlite):
    """SQLAlchemy's, with our types."""

    supports_statement_cache = True
    supports_native_decimal = True  # ours: nobody need be warned
    colspecs = {  # noqa: RUF012  # as SQLAlchemy declares it
        **SQLiteDialect_pysqlite.colspecs,
        DateTime: Moment,
        TIMESTAMP: Moment,
        Numeric: Exact,
    }


registry.register("sqlite.holdfast", __name__, "SqliteDialect")


def sqlite_engine(connect: Callable[[], sqlite3.Connection]) -> Engine:
    """Return an engine over one connection, which refuses values that do not fit their columns."""
    engine = create_engine("sqlite+holdfast://", creator=connect, poolclass=StaticPool)
    look_at_values(engine)
    return engine
