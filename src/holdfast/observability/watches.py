"""Gauges that are read from `.stats()` records at the moment somebody asks for the metrics."""

import dataclasses
import re
from collections.abc import Callable, Iterator

from holdfast.observability.instruments import head_text, label_text, number_text

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ERRORS = "holdfast_watch_errors_total"
_ABOUT = {
    "holdfast_broker_refused_total": "Times the broker refused this process, or a subject of it.",
    "holdfast_broker_remade_total": "Streams that the broker had lost, and that were made again.",
    "holdfast_broker_up": "1 while all letters can travel, 0 when some or none can.",
    "holdfast_breaker_state": "Circuit breaker of an edge: 0 closed, 1 half-open, 2 open.",
    "holdfast_dead_letters": "Messages that gave up and wait for a person.",
    "holdfast_failing_letters": "Messages that have failed for long, and are tried on for ever.",
    "holdfast_leases_held": "Letters whose handlers wait for something before they write.",
    "holdfast_leases_lost_total": "Letters that another process claimed while a handler worked.",
    "holdfast_leases_renewed_total": "Times that a letter was kept for a handler at work.",
    "holdfast_letters_ignored_total": "Letters below their sender's floor: settled long ago.",
    "holdfast_log_lines_dropped_total": "Log lines lost to a full buffer or a broken stream.",
    "holdfast_outbox_oldest_seconds": "Age of the oldest unanswered letter.",
    "holdfast_outbox_rows": "Letters that were not answered yet.",
    "holdfast_pool_refused_total": "Blocking functions that found no thread in time.",
    "holdfast_pool_running": "Blocking functions of a pool that run.",
    "holdfast_pool_waiting": "Blocking functions of a pool that wait for a thread.",
    _ERRORS: "Readings for these metrics that raised an error.",
}


class Watches:
    """Callables that are read at collection: {name: {labels: read}}."""

    def __init__(self) -> None:
        self._reads: dict[str, dict[tuple[tuple[str, str], ...], Callable[[], object]]] = {}
        self._failed = 0

    def watch(self, name: str, read: Callable[[], object], /, **labels: str) -> None:
        """Show what `read` returns, whenever the metrics are asked for.

        A number becomes the gauge `name`; of a dataclass, every field that is a number becomes
        `name_field`; None shows nothing. A name that ends in `_total` is a counter. The same name
        and labels again replace the earlier `read`. Its errors are counted, not raised.

        Raises:
            ValueError: the name is not a metric's.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a metric name: use lower-case letters, digits and _")
        self._reads.setdefault(name, {})[tuple(sorted(labels.items()))] = read

    def lines(self) -> Iterator[str]:
        """Read everything that is watched."""
        families: dict[str, list[str]] = {}
        for name, reads in self._reads.items():
            for labels, read in reads.items():
                text = label_text(dict(labels))
                for full_name, number in self._numbers(name, read):
                    line = f"{full_name}{text} {number_text(number)}\n"
                    families.setdefault(full_name, []).append(line)
        families[_ERRORS] = [f"{_ERRORS} {self._failed}\n"]
        for name, lines in families.items():
            about = _ABOUT.get(name, f"{name.removeprefix('holdfast_').replace('_', ' ')}.")
            yield head_text(name, about, "counter" if name.endswith("_total") else "gauge")
            yield from lines

    def _numbers(self, name: str, read: Callable[[], object]) -> list[tuple[str, float]]:
        try:
            value = read()
        except Exception:  # one broken component must not hide the metrics of all others
            self._failed += 1
            return []
        if isinstance(value, int | float):
            return [(name, float(value))]
        if not dataclasses.is_dataclass(value):
            return []
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return [
            (f"{name}_{field}", float(number))
            for field, number in fields.items()
            if isinstance(number, int | float)
        ]
