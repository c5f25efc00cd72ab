"""Migrations: the revisions of each service's tables, and of the framework's, with Alembic."""

from holdfast.migrations.revisions import Revisions
from holdfast.migrations.upgrade import make, regrant, run_on_file, upgrade

__all__ = ["Revisions", "make", "regrant", "run_on_file", "upgrade"]
