"""Migrations: the revisions of each service's tables, and of the framework's, with Alembic."""

from holdfast.migrations.history import History
from holdfast.migrations.upgrade import make, upgrade

__all__ = ["History", "make", "upgrade"]
