"""What a system's traffic offers, prepared and checked before the clock starts."""

import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import cast

from holdfast.contract.http import Request, Response
from holdfast.contract.tier import Tier
from holdfast.dispatch.router import Router, Target
from holdfast.errors import BrokenTraffic, DeclarationError, HoldfastError
from holdfast.load.offer import Mix, Offer, PreparedOffer, prepared
from holdfast.ports import Clock, Ids
from holdfast.system import System
from holdfast.testing import Client


async def offers_of(system: System, url: str) -> list[Offer]:
    """Let the traffic of a system prepare what it offers.

    Raises:
        BrokenTraffic: it raised, with its line, or what it returned are no offers.
    """
    function = system.offered.offers
    assert function is not None, "it was looked for before"
    client = Client(url)
    try:
        found: object = await function(client)
    except Exception as exc:  # whatever goes wrong in somebody's function
        frames = traceback.extract_tb(exc.__traceback__)
        ours = [frame for frame in frames if frame.name == function.__name__] or frames
        raise BrokenTraffic(
            f"{function.__name__} raised {type(exc).__name__}: {' '.join(str(exc).split())} "
            f"({ours[-1].filename}:{ours[-1].lineno})"
        ) from exc
    finally:
        await client.close()
    what = type(found).__name__
    offers = list(cast(Iterable[object], found)) if isinstance(found, Sequence) else [found]
    good = [one for one in offers if isinstance(one, Offer)]
    if len(good) < len(offers):
        raise BrokenTraffic(f"{function.__name__} returned {what}: no list of Offer")
    if not good:
        raise BrokenTraffic(f"{function.__name__} offers nothing; return at least one Offer")
    return good


def mix_of(system: System, offers: Sequence[Offer], *, host: str, keys: str) -> Mix:
    """Return offers as requests that are ready to be sent.

    Args:
        keys: what Idempotency-Keys begin with.
    Raises:
        DeclarationError: each offer that goes to no route, or cannot be written.
    """
    tiers, ready, problems = tiers_of(system), list[PreparedOffer](), list[str]()
    for offer in offers:
        try:
            tier = tiers(offer)
            ready.append(prepared(offer, tier, host=host, keys=keys))
        except (ValueError, HoldfastError) as exc:
            problems.append(f"{offer}: {exc}")
    if problems:
        raise DeclarationError(list(dict.fromkeys(problems)))
    return Mix(ready, [offer.share for offer in offers])


def tiers_of(system: System) -> Callable[[Offer], Tier]:
    """Return what tells the tier of an offer: that of its route, as the gateway would find it.

    What a mounted app serves is normal. It raises NotFound, MethodNotAllowed or BadRequest where
    there is no such route.
    """
    router, tiers = Router(), dict[tuple[str, str], Tier]()
    for service in system.services:
        for route in service.routes:
            tiers[route.method, route.path] = route.tier
            target = Target(service.name, route.path, _nobody, route.public, route.scope)
            router.add(route.method, target)
        for mount in service.mounts:
            router.mount(mount.path, Target(service.name, mount.path, _nobody, mount.public, None))

    def tier_of(offer: Offer) -> Tier:
        target, _ = router.find(offer.method, offer.path.partition("?")[0])
        return tiers.get((offer.method, target.template), Tier.NORMAL)

    return tier_of


async def _nobody(request: Request, parameters: dict[str, str]) -> Response:
    raise AssertionError("a route that is looked up here is not called")


def run_key(clock: Clock, ids: Ids) -> str:
    """Return what makes the Idempotency-Keys of this run its own."""
    return f"load-{ids.uuid7(int(clock.now() * 1000)).hex}"
