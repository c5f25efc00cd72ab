"""What transaction tokens cost: a service verifies one, and the gateway makes one.

A token that is known was verified before, as most are: one serves a caller's requests to a route
for a minute. A new one of a known signer has a signature to verify; one of a new signer has its
certificate too. The bare signature, by `cryptography`, is printed beside them.
"""

import math
from collections.abc import Callable
from statistics import median
from time import process_time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.harness import Plan, Row
from holdfast.contract.spiffe import SIGNER
from holdfast.engines.machine import MachineClock
from holdfast.gateway import Exchange
from holdfast.security import Authority, Purpose, TransactionSigner, TransactionVerifier
from holdfast.system import Caller

TIMES = 500
ADA = Caller("0f6c1f5e-5b1c-4d8e-9d0a-6a5d8f1f2b3c", frozenset({"orders:read", "orders:write"}))
ORDERS = Purpose("orders", "POST", "/v1/orders")


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    clock = MachineClock()
    authority = Authority.new("bench", now_s=clock.now())
    issued = authority.issue(SIGNER, now_s=clock.now())
    signer = TransactionSigner.from_pem("bench", issued.certificate, issued.key)

    def verifier() -> TransactionVerifier:
        return TransactionVerifier("bench", lambda: authority.certificate, clock)

    def token(number: int) -> bytes:
        return signer.sign(
            ADA, ORDERS, transaction=str(number), now_s=clock.now(), until_s=float("inf")
        )

    judge, exchange, key = verifier(), Exchange(lambda: signer, clock), Ed25519PrivateKey.generate()
    known, until_s = token(0), clock.now() + 3600
    judge.verify(known)
    bare = key.sign(known)
    public = key.public_key()
    rounds = range(plan.rounds * 2 + 1)
    fresh = iter([token(number) for number in range(1, len(rounds) * TIMES + 1)])
    strangers = iter([verifier() for _ in range(len(rounds) * TIMES)])
    measured: dict[str, tuple[Callable[[], object], float]] = {
        "a transaction token, known": (lambda: judge.verify(known), 6.0),
        "a transaction token, new": (lambda: judge.verify(next(fresh)), 120.0),
        "a transaction token of a new signer": (lambda: next(strangers).verify(known), math.nan),
        "its bare signature, verified": (lambda: public.verify(bare, known), math.nan),
        "a transaction token, signed": (lambda: token(0), math.nan),
        "a transaction token, used again": (lambda: exchange(ADA, until_s, ORDERS, "1"), math.nan),
    }
    return [
        Row(name, "µs", _each_us(work, len(rounds)), target=target, at_most=not math.isnan(target))
        for name, (work, target) in measured.items()
    ]


def _each_us(work: Callable[[], object], rounds: int) -> float:
    """Return how much CPU one takes, in µs: the median of rounds, the first one left out."""
    found: list[float] = []
    for _ in range(rounds):
        begun = process_time()
        for _ in range(TIMES):
            work()
        found.append((process_time() - begun) / TIMES * 1e6)
    return median(found[1:])
