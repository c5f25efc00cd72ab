"""What one edge uses of all this, as a value that stands in the declaration of the edge."""

from dataclasses import dataclass, field
from typing import Final

from holdfast.resilience.breaker import BreakerPolicy
from holdfast.resilience.budget import BudgetPolicy
from holdfast.resilience.bulkhead import BulkheadPolicy
from holdfast.resilience.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class EdgePolicy:
    """How calls over one edge are defended; every part but the time-out may be None: off.

    `EdgePolicy(timeout_s=0.5, breaker=None)` keeps the defaults of the rest.

    Attributes:
        timeout_s: for one try; the caller's deadline shortens it.
        retry: None: one try.
        budget: None: every call may use all its tries, and an outage multiplies the load by them.
        breaker: None: an other side that is ill is called as often as before.
        bulkhead: None: as many calls at once as come.
    """

    timeout_s: float = 2.0
    retry: RetryPolicy | None = field(default_factory=RetryPolicy)
    budget: BudgetPolicy | None = field(default_factory=BudgetPolicy)
    breaker: BreakerPolicy | None = field(default_factory=BreakerPolicy)
    bulkhead: BulkheadPolicy | None = field(default_factory=BulkheadPolicy)

    def __post_init__(self) -> None:
        if not self.timeout_s > 0:
            raise ValueError(f"timeout_s must be > 0, got {self.timeout_s}: every wait has an end")


DEFAULT: Final = EdgePolicy()
