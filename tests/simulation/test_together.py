"""Processes that host everything: their letters go past the broker, and keep all promises."""

from dataclasses import replace

from holdfast.cli.named import simulated
from holdfast.consistency.safeguards import ALL_ON, Safeguards
from holdfast.simulation.run import Outcome, drawn_setup, run

SEEDS = range(16)
FIRST_BROKEN = 40  # a safeguard that is off is seen to be within so many


def outcome_of(seed: int, safe: Safeguards = ALL_ON) -> Outcome:
    """Run a seed of the shop in one process, or in two that share its databases."""
    system = simulated("shop")
    setup = replace(drawn_setup(system, seed, 5), together=1 + seed % 2, safe=safe)
    return run(system, seed, setup)


def test_whatever_befalls_processes_that_host_everything_no_promise_breaks() -> None:
    """Crashes between the commit and the inbox, replicas that claim each other's letters."""
    outcomes = [outcome_of(seed) for seed in SEEDS]

    assert {str(v) for outcome in outcomes for v in outcome.violations} == set()
    assert sum(outcome.steps["all commit.after"] for outcome in outcomes) > len(SEEDS) * 50


def test_on_a_calm_day_the_broker_carries_nothing() -> None:
    """Letters, answers and floors go from the commit to the inbox."""
    system = simulated("shop")
    calm = run(system, 1, replace(drawn_setup(system, 1, 5), together=2), [])

    assert not calm.violations
    assert list(calm.history.of("broker.deliver")) == []
    assert calm.steps["all publish.before"] == 0


def test_a_letter_that_dies_with_its_process_is_sent_again() -> None:
    """Without that safeguard some seed loses one: the row is the promise, not the way."""
    safe = replace(ALL_ON, send_until_answered=False)

    assert any(outcome_of(seed, safe).violations for seed in range(FIRST_BROKEN))


def test_an_answer_that_dies_with_its_process_is_given_again() -> None:
    """Without that safeguard some seed waits for ever."""
    safe = replace(ALL_ON, answer_again=False)

    assert any(outcome_of(seed, safe).violations for seed in range(FIRST_BROKEN))
