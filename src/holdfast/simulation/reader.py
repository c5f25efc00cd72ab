"""What a simulated database server shows those who only read."""

from sqlalchemy import CompoundSelect, Connection, Executable, Select

from holdfast.engines.sqlite_transaction import run_users
from holdfast.simulation.memory import Memory
from holdfast.storage import Parameters, Rows


class SimReader:
    """A read-only view of what was committed at its first statement. It implements `Reader`.

    While nothing more is committed and nobody writes, the server's own connection shows the same,
    and has prepared its statements. A new one to an image would read all tables' declarations.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._image: bytes | None = None
        self._connection: Connection | None = None

    async def execute(self, statement: Executable, parameters: Parameters = None) -> Rows:
        """See `storage.Reader`."""
        memory = self._memory
        if self._image is None:
            self._image = memory.image()
        if self._connection is None:
            if _only_reads(statement) and memory.shows(self._image):
                return run_users(memory.users, statement, parameters)
            self._connection = memory.view(self._image)
        return run_users(self._connection, statement, parameters)

    async def close(self) -> None:
        """See `storage.Reader`."""
        if self._connection is not None:
            self._memory.give_reader(self._connection)
            self._connection = None


def _only_reads(statement: object) -> bool:
    """Whether a statement cannot write, whatever is in it: the server's own connection may."""
    return isinstance(statement, Select | CompoundSelect)
