"""What is rendered follows from the declaration alone, and is whole."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import yaml

from holdfast.delivery import observability
from holdfast.delivery.alerts import ALERTS, Alert
from holdfast.delivery.indicators import indicators_of, selected
from holdfast.delivery.objective_rules import recorded_names
from holdfast.delivery.promql import RECORDED, known_names, names_in
from holdfast.system import Service, Slo, System
from shop.system import shop

FILES = observability(shop, typed="shop", runbooks="https://runbooks.example")


def documents(*below: str) -> dict[str, Any]:
    """Return {path: document} of rendered YAML and JSON."""
    return {
        path: yaml.safe_load(text)
        for path, text in FILES.items()
        if not path.endswith(".md") and any(f"/{name}" in path for name in below)
    }


def rules() -> Iterator[dict[str, Any]]:
    """Yield every rule."""
    for document in documents("prometheus/rules/").values():
        for group in document["groups"]:
            yield from group["rules"]


def expressions() -> Iterator[str]:
    """Yield every expression of rules and dashboards."""
    yield from (rule["expr"] for rule in rules())
    for dashboard in documents("grafana/").values():
        for panel in dashboard["panels"]:
            yield from (target["expr"] for target in panel["targets"])


def test_the_same_declaration_gives_the_same_bytes() -> None:
    """In another process too, whose sets and texts are in another order."""
    code = (
        "import hashlib\nfrom holdfast.delivery import observability\n"
        "from shop.system import shop\n"
        "files = observability(shop, typed='shop')\n"
        "print(hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(seen) == 1


def test_every_alert_is_there_and_says_what_to_do() -> None:
    """Severity, summary and the address of a page; nothing of it is about a machine's load."""
    alerts = [rule for rule in rules() if "alert" in rule]

    assert {alert["alert"] for alert in alerts} == set(ALERTS)
    for alert in alerts:
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert alert["labels"]["job"] == "shop"
        assert alert["annotations"]["summary"]
        page = f"https://runbooks.example/{alert['alert']}.md"
        assert alert["annotations"]["runbook_url"] == page
        assert "cpu" not in alert["expr"] and "memory" not in alert["expr"]
    assert all(f"observability/runbooks/{name}.md" in FILES for name in ALERTS)


def test_an_alert_without_a_page_is_refused() -> None:
    """Whoever is woken has something to read."""
    with pytest.raises(ValueError, match="is not among ALERTS"):
        Alert("Typo", "shop", "page", "up == 0", "it is down")


def test_every_series_is_known_and_every_recorded_one_is_made() -> None:
    """A misspelt name is silent for ever."""
    made = {rule["record"] for rule in rules() if "record" in rule}
    used = {name for expression in expressions() for name in names_in(expression)}

    assert made == set(recorded_names())
    assert used - made <= known_names()
    assert {name for name in used if name.startswith(RECORDED)} <= made
    assert len(used) > 25


def test_no_series_is_recorded_twice() -> None:
    """Of two rules that record one series Prometheus takes whichever comes first."""
    recorded = Counter(
        (rule["record"], *sorted(rule["labels"].items())) for rule in rules() if "record" in rule
    )

    assert {series for series, times in recorded.items() if times > 1} == set()


def test_a_row_of_windows_for_everything_that_is_promised() -> None:
    """Four for each objective and indicator, with thresholds that can be read."""
    burns = Counter(
        (rule["labels"]["slo"], rule["labels"]["sli"])
        for rule in rules()
        if rule.get("alert", "").endswith("Burn")
    )
    promised = {(each.objective.name, each.sli) for each in indicators_of(shop)}

    assert promised == {
        *(("users", sli) for sli in ("availability", "latency")),
        *(("orders", sli) for sli in ("availability", "latency")),
        ("orders checkout", "settlement"),
    } | {(s.name, sli) for s in shop.services if s.routes for sli in ("availability", "latency")}
    assert burns == dict.fromkeys(promised, 4)
    assert any("> 0.0144\n" in rule["expr"] for rule in rules())


def answer() -> Service:
    """Return a service with two routes of one path, one with an SLO of its own, and an app."""
    made = Service("orders")

    async def route() -> None: ...

    made.get("/v1/orders", public=True)(route)
    made.post("/v1/orders", public=True, slo=Slo(latency_ms=2_000))(route)
    made.get("/v1/orders/{id}", public=True)(route)
    made.mount("/old", object(), public=True)
    return made


def test_routes_are_told_apart_by_method_only_where_they_must_be() -> None:
    """A path whose methods are all of one objective needs no method."""
    system = System("tiny", [answer()])

    found = [[which[2:] for which in selected(system, o)] for o in system.objectives()]

    assert found == [
        [
            (r'http_route=~"/old/|/v1/orders/\\{id\\}"',),
            ('http_request_method="GET"', 'http_route="/v1/orders"'),
        ],
        [('http_request_method="POST"', 'http_route="/v1/orders"')],
    ]


def test_a_threshold_is_the_bucket_that_processes_show() -> None:
    """As the histogram writes it; a number that differs in a digit counts nothing."""
    system = replace(System("tiny", [answer()]), slo=Slo(latency_ms=70))
    text = observability(system, typed="tiny")["observability/prometheus/rules/tiny-objectives.yml"]

    assert 'le="0.07"' in text
    assert 'le="2.0"' in text


def test_a_system_without_routes_has_rules_all_the_same() -> None:
    """What it has of letters is watched, and nobody misses a gateway that there is not."""
    files = observability(System("quiet", [Service("night")]), typed="quiet")
    causes = files["observability/prometheus/rules/quiet-causes.yml"]

    assert "DeadLetters" in causes
    assert "GatewayAbsent" not in causes


def test_dashboards_have_names_that_stay() -> None:
    """One for the system, each service, sagas, letters and promises; uids that Grafana takes."""
    found = documents("grafana/")
    uids = [dashboard["uid"] for dashboard in found.values()]
    long = "a" * 40
    more = observability(System(long, [Service(long)]), typed="long")

    services = [f"holdfast_shop_service_{service.name}" for service in shop.services]
    parts = [f"holdfast_shop_{part}" for part in ("letters", "promises", "sagas")]
    assert sorted(uids) == sorted(["holdfast_shop", *services, *parts])
    assert [f"observability/grafana/{uid}.json" for uid in uids] == list(found)
    assert all(
        len(json.loads(text)["uid"]) <= 40 for path, text in more.items() if path.endswith(".json")
    )


def test_panels_do_not_overlap_and_all_have_something_to_draw() -> None:
    """Two in a row, each with its id."""
    for dashboard in documents("grafana/").values():
        panels = dashboard["panels"]
        places = {(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels}
        assert len(places) == len({p["id"] for p in panels}) == len(panels)
        assert all(p["targets"] and p["datasource"]["uid"] == "${datasource}" for p in panels)


@pytest.mark.parametrize("name", ["collector", "jaeger"])
def test_pipelines_name_what_is_configured(name: str) -> None:
    """Nothing is missing, nothing idle; a memory limit comes first; no name that is deprecated."""
    [configuration] = documents(f"{name}/").values()
    service = configuration["service"]
    [pipeline] = service["pipelines"].values()

    for kind in ("receivers", "processors", "exporters"):
        assert pipeline[kind] == list(configuration[kind])
    assert service["extensions"] == list(configuration["extensions"])
    components = {key for kind in configuration if kind != "service" for key in configuration[kind]}
    assert not components & {"otlphttp", "logging", "k8sattributes", "jaeger"}
    if name == "collector":
        assert pipeline["processors"][0] == "memory_limiter"
        assert "otlp" not in configuration["exporters"]


def test_the_collector_sends_where_jaeger_listens() -> None:
    """On one machine, without a word in the environment."""
    [collector] = documents("collector/").values()
    [jaeger] = documents("jaeger/").values()

    sends = collector["exporters"]["otlp_grpc"]["endpoint"]
    assert sends == jaeger["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    query, storage = (jaeger["extensions"][name] for name in ("jaeger_query", "jaeger_storage"))
    traces = query["storage"]["traces"]
    assert traces == jaeger["exporters"]["jaeger_storage_exporter"]["trace_storage"]
    assert list(storage["backends"]) == [traces]


def test_in_a_cluster_the_port_of_operations_is_scraped_and_no_other() -> None:
    """Pods of the system alone, in its namespace; the job is called what the rules ask for."""
    read = documents("in-cluster")["observability/prometheus/in-cluster.yml"]
    label = "__meta_kubernetes_pod_label_app_kubernetes_io"

    for scrape in read["scrape_configs"]:
        rules = scrape["relabel_configs"]
        name = scrape["tls_config"]["server_name"]
        assert scrape["job_name"] == f"shop-{name}" and scrape["scheme"] == "https"
        assert {"target_label": "job", "replacement": "shop"} in rules
        assert scrape["kubernetes_sd_configs"][0]["namespaces"] == {"names": ["shop"]}
        assert {r["source_labels"][0]: r["regex"] for r in rules if "regex" in r} == {
            f"{label}_component": name,
            f"{label}_part_of": "shop",
            "__meta_kubernetes_pod_container_port_name": "ops",
        }
