"""Numbers that are read from `.stats()` records at the moment somebody asks for the metrics."""

from collections.abc import Callable, Iterator

from holdfast.observability import catalogue
from holdfast.observability.catalogue import Metric
from holdfast.observability.exposition import Exposition, head_text, sample_text


class Watches:
    """Callables that are read at collection: {metric: {labels: read}}."""

    def __init__(self) -> None:
        self._reads: dict[Metric, dict[tuple[tuple[str, str], ...], Callable[[], float]]] = {}
        self._failed = 0

    def watch(self, metric: Metric, read: Callable[[], float], /, **labels: str) -> None:
        """Show what `read` returns, whenever the metrics are asked for.

        The same metric and labels again replace the earlier `read`. Its errors are counted, not
        raised.

        Raises:
            ValueError: the metric has not these labels.
        """
        if set(labels) != set(metric.labels):
            raise ValueError(f"{metric.name} has the labels {metric.labels}, not {(*labels,)}")
        self._reads.setdefault(metric, {})[tuple(sorted(labels.items()))] = read

    def pieces(self, form: Exposition) -> Iterator[str]:
        """Read everything that is watched."""
        for metric, reads in tuple(self._reads.items()):
            lines = [
                line
                for labels, read in tuple(reads.items())
                for line in self._line(metric, dict(labels), read)
            ]
            if lines:
                yield head_text(metric, form)
                yield from lines
        yield head_text(catalogue.WATCH_ERRORS, form)
        yield sample_text(catalogue.WATCH_ERRORS, {}, self._failed)

    def _line(self, metric: Metric, labels: dict[str, str], read: Callable[[], float]) -> list[str]:
        try:
            return [sample_text(metric, labels, float(read()))]
        except Exception:  # one broken component must not hide the metrics of all others
            self._failed += 1
            return []
