"""All checks, one after the other."""

from collections.abc import Sequence

from holdfast.system.checks.carried import carried_problems
from holdfast.system.checks.functions import function_problems
from holdfast.system.checks.gateway import gateway_problems
from holdfast.system.checks.measures import measure_problems
from holdfast.system.checks.messages import message_problems
from holdfast.system.checks.modules import module_problems
from holdfast.system.checks.reading import read
from holdfast.system.checks.routes import route_problems
from holdfast.system.checks.sending import sending_problems
from holdfast.system.checks.services import service_problems
from holdfast.system.checks.slos import slo_problems
from holdfast.system.gateway import Gateway
from holdfast.system.service import Service
from holdfast.system.slo import Slo


def problems_of(services: Sequence[Service], gateway: Gateway, slo: Slo) -> list[str]:
    """Return what is wrong, a line each; empty when all is well."""
    reading = read(services)
    return [
        *service_problems(reading),
        *function_problems(reading),
        *message_problems(reading),
        *carried_problems(reading),
        *route_problems(reading),
        *module_problems(reading),
        *sending_problems(reading),
        *gateway_problems(gateway, reading),
        *slo_problems(slo, reading),
        *measure_problems(reading),
    ]
