"""Alerts: what wakes somebody, or waits for the morning, and the page that says what to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from holdfast.delivery.burn import Severity
from holdfast.delivery.yaml import Value

ALERTS: Final = (
    *("AvailabilityBudgetBurn", "LatencyBudgetBurn", "SettlementBudgetBurn"),
    *("RouteFails", "SagasStandStill", "GatewayAbsent", "TargetDown"),
    *("DeadLetters", "LettersFail", "LettersWait", "LettersIgnored", "SagasParked", "SagaOverdue"),
    *("OutboxStandsStill", "FloorStandsStill"),
    *("CertificateExpires", "PeersRefused", "EdgeRefused", "CallersRefused"),
    "PublicCertificateTrouble",
    *("LettersRefused", "BrokerTrouble", "ParcelsLost"),
)
"""Every alert there is; each has its page in `runbooks/`."""
RUNBOOKS: Final = "runbooks"
"""The folder of the pages, and where they are served unless somebody says where."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule.

    Attributes:
        system: its name, which is the job of all that is scraped of it.
        expr: it fires for every series that this returns.
        for_: how long that must go on; "" for at once.
        labels: besides the severity and the job.
        summary: one sentence for whoever reads it at night; `{{ $labels.x }}` stands in it.
        over: the value over which it fires, of those that compare a gauge.
    """

    name: str
    system: str
    severity: Severity
    expr: str
    summary: str
    for_: str = ""
    over: float = 0
    labels: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        if self.name not in ALERTS:
            raise ValueError(f"{self.name} is not among ALERTS, so that nobody writes its page")

    @property
    def all_labels(self) -> dict[str, str]:
        """Its labels, with the severity and the job."""
        return {"severity": self.severity, "job": self.system, **self.labels}

    def annotations(self, runbooks: str) -> dict[str, str]:
        """What is said with it; `runbooks` is where the pages are."""
        return {"summary": self.summary, "runbook_url": f"{runbooks}/{self.name}.md"}

    def rule(self, runbooks: str) -> dict[str, Value]:
        """Return it as Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.expr,
            **({"for": self.for_} if self.for_ else {}),
            "labels": self.all_labels,
            "annotations": self.annotations(runbooks),
        }
