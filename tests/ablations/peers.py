"""What becomes of what an intruder tries, without a safeguard."""

from typing import Any

from holdfast.contract import spiffe
from holdfast.dispatch.inner_door import InnerDoor
from holdfast.dispatch.inner_headers import caller_of
from holdfast.dispatch.queries import CompiledQuery
from holdfast.dispatch.signed_callers import SignedCallers
from holdfast.engines import mutual_tls
from holdfast.simulation import identity
from tests.ablations.off import without


@without("proven_peers", identity, "is_proven", rule=mutual_tls.TlsIdentity._context)
def believes_any_certificate(real: Any, shown: Any, by: Any) -> bool:
    """Whoever issued it."""
    return True


@without("server_is_who_was_meant", identity, "check_reached", rule=spiffe.check_reached)
@without("server_is_who_was_meant", mutual_tls, "check_reached", rule=spiffe.check_reached)
def talks_to_anybody(real: Any, found: str, wanted: str) -> None:
    """Whoever of the system is there."""


@without("asker_is_the_peer", InnerDoor, "_check_asker")
def believes_any_name(real: Any, door: InnerDoor, request: Any, sender: str) -> None:
    """Who asks is who he says."""


@without("routes_for_the_gateway", InnerDoor, "_check_entry")
def lets_anybody_in(real: Any, door: InnerDoor, request: Any) -> None:
    """Whoever comes is the gateway."""


@without("signed_callers", SignedCallers, "_caller_of", rule=SignedCallers.caller_of)
def believes_any_caller(real: Any, callers: SignedCallers, request: Any, target: Any) -> Any:
    """Whose request it is, whoever comes as the gateway says."""
    return caller_of(request)


@without("declared_queries", CompiledQuery, "check")
def answers_anybody(real: Any, query: CompiledQuery, sender: str) -> None:
    """Who has no edge is answered, too."""
