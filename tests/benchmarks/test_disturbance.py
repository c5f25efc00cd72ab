"""Who disturbed a round: what the kernel's tables say of others, and of nobody of ours."""

from benchmarks.disturbance import STEAL, Look, Seen, disturbers, read_stat
from benchmarks.process import LOAD_CORE, SERVER_CORE

STAT = (
    "77 (odd (name) R) R 42 97 69 0 -1 4194304 98 0 0 0 150 50 9 9 20 0 1 0 1846610 3133440 394 "
    "18446744073709551615 1 2 3 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 4 5 6 7 8 9 10 0"
)


def seen(name: str, parent: int, cpu_s: float, core: int = LOAD_CORE) -> Seen:
    """Return a process."""
    return Seen(name, parent, cpu_s, core)


def test_a_name_with_brackets_is_read() -> None:
    """The fields are counted from the last bracket on; time is in ticks of a hundredth."""
    found = read_stat(STAT)

    assert found == Seen("odd (name) R", 42, 2.0, 1)


def test_others_are_named_by_what_they_used() -> None:
    """Most first; who was begun meanwhile counts from its start, who did nothing does not."""
    before = Look({1: seen("init", 0, 5.0), 7: seen("make", 1, 1.0)}, 0.0)
    after = Look(
        {1: seen("init", 0, 5.0), 7: seen("make", 1, 1.5), 8: seen("cc", 7, 1.0, SERVER_CORE)}, 0.0
    )

    assert list(disturbers(before, after, root=99, took_s=2.0).items()) == [
        ("cc", 0.5),
        ("make", 0.25),
    ]


def test_what_the_benchmark_began_is_no_disturbance() -> None:
    """Nor is what that began."""
    before = Look({}, 0.0)
    after = Look(
        {5: seen("load", 1, 1.0), 6: seen("server", 5, 1.0), 7: seen("worker", 6, 1.0)}, 0.0
    )

    assert disturbers(before, after, root=5, took_s=1.0) == {}


def test_who_runs_on_another_core_is_no_disturbance() -> None:
    """The two cores are those of the server and of the load."""
    elsewhere = max(LOAD_CORE, SERVER_CORE) + 1

    after = Look({7: seen("make", 1, 1.0, elsewhere)}, 0.0)

    assert disturbers(Look({}, 0.0), after, root=5, took_s=1.0) == {}


def test_what_the_machine_below_took_is_named() -> None:
    """Steal is nobody's here."""
    assert disturbers(Look({}, 1.0), Look({}, 1.5), root=5, took_s=1.0) == {STEAL: 0.5}
