"""The shop itself, under whatever the seeds draw."""

import shop.simulation  # noqa: F401  # it declares the workload
from shop.system import shop as system
from tests.simulation.scenario import Scenario

SCENARIOS = [
    Scenario(
        system,
        (
            "answer_after_commit",
            "answer_again",
            "commit_checked",
            "record_with_effect",
            "request_with_effect",
            "send_after_commit",
            "send_until_answered",
        ),
        size=10,
    )
]
