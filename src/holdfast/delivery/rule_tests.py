"""Rule tests: what `promtool test rules` plays over the rendered rules, in files of their own."""

from collections.abc import Iterator

from holdfast.delivery.burn import BURNS
from holdfast.delivery.burn_tests import burn_test
from holdfast.delivery.cause_tests import cause_test
from holdfast.delivery.indicators import indicators_of
from holdfast.delivery.objective_rules import groups_of
from holdfast.delivery.yaml import Value
from holdfast.system import System


def tests_of(system: System, runbooks: str) -> Iterator[tuple[str, Value]]:
    """Yield (name, document) of each file of tests."""
    indicators = list(indicators_of(system))
    # One group reads what another one recorded: without their order, which is first is by chance.
    order: list[Value] = [each["name"] for each in groups_of(system, indicators, runbooks)]
    for burn in BURNS if indicators else ():
        yield (
            f"burn-{burn.long}",
            {
                "rule_files": [f"../rules/{system.name}-objectives.yml"],
                "group_eval_order": order,
                **burn_test(burn, indicators, runbooks),
            },
        )
    yield (
        "causes",
        {
            "rule_files": [f"../rules/{system.name}-causes.yml"],
            **cause_test(system, runbooks),
        },
    )
