"""Alertmanager: who is told of which alert, and which alert makes another one superfluous."""

from holdfast.delivery.yaml import Value

_SAME = ["job", "service", "slo", "sli"]


def configuration() -> Value:
    """Return `alertmanager.yml`.

    Where people are reached is in no declaration: the names of the receivers are right, and their
    addresses are such that Alertmanager says in its log that nobody hears of an alert.
    """
    return {
        "route": {
            "receiver": "ticket",
            "group_by": ["alertname", *_SAME],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "1d",
            "routes": [
                {
                    "matchers": ['severity="page"'],
                    "receiver": "page",
                    "group_wait": "10s",
                    "repeat_interval": "1h",
                }
            ],
        },
        "inhibit_rules": [
            {
                "source_matchers": ['severity="page"'],
                "target_matchers": ['severity="ticket"'],
                "equal": list(_SAME),
            }
        ],
        "receivers": [
            {"name": name, "webhook_configs": [{"url": f"http://{name}.invalid/"}]}
            for name in ("page", "ticket")
        ],
    }
