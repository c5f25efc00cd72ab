"""The report: what it says of a measurement that was disturbed."""

from benchmarks.harness import Row, Sample
from benchmarks.report import render


def row(*samples: Sample) -> Row:
    """Return a row of one server."""
    return Row("route", "requests/s", 100.0, samples={"ours": samples})


def test_who_ran_beside_is_told() -> None:
    """By the mean of all rounds; who hardly ran is not."""
    rounds = [
        Sample(100, 1, 2, 10, 0.1, 0.4, {"make": 0.4, "init": 0.001}),
        Sample(100, 1, 2, 10, 0.1, 0.0),
    ]

    text = render([row(*rounds)], shared_core=False)

    assert "1 of 2 rounds were disturbed by something else" in text
    assert "beside them ran, in cores: make 0.20\n" in text


def test_a_quiet_machine_has_no_doubts() -> None:
    """Nothing is said of others then."""
    text = render([row(Sample(100, 1, 2, 10, 0.1, 0.0))], shared_core=False)

    assert "disturbed" not in text
    assert "beside them" not in text
