"""Makes the tables of new databases in a child process.

Alembic is needed once in the life of a database, and the 13 MB that it loads stay. The child takes
them with it.
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence

from holdfast.dispatch.host import ServiceHost
from holdfast.migrations import Revisions, run_on_file
from holdfast.runtime.folder import DataFolder

_STOPS = (signal.SIGTERM, signal.SIGINT)


def make_apart(hosts: Sequence[ServiceHost], folder: DataFolder, typed: str) -> None:
    """Run the revisions of the databases that are missing in the data folder.

    What fails is left as it was: whoever opens the databases does it again, and says why. Where
    threads run nothing is done, since a child has only the one that forks.

    Args:
        typed: see `Options.typed`.
    """
    new = {
        f"sqlite:///{folder.database(host.name)}": Revisions(typed, host.service)
        for host in hosts
        if host.service.migrations is not None
        and not host.ledger.database.remote
        and not folder.database(host.name).exists()
    }
    if not new or sys.platform != "linux" or threading.active_count() > 1:
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)  # they are for this process
    child = os.fork()
    if child == 0:
        try:
            for url, revisions in new.items():
                run_on_file(revisions, url)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
