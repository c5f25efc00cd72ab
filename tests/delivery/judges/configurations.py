"""Configurations inside manifests, read by the programs that they are for."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import celpy
import celpy.adapter

from holdfast.contract.spiffe import NATS
from holdfast.delivery.identities import IDENTITY
from holdfast.engines.machine import MachineClock
from holdfast.runtime.local_authority import LocalAuthority
from tests.delivery.judges.objects import Object, name_of, of_kind
from tests.delivery.judges.programs import program, run
from tests.delivery.tools import run as run_prometheus


def nats_problems(items: list[Object], **variables: str) -> list[str]:
    """Return what nats-server finds in each `*.conf` of ConfigMaps of a name with `nats`.

    Args:
        variables: those that the configuration reads from its environment.
    """
    found, seen = [], 0
    for item in of_kind(items, "ConfigMap"):
        for key, text in (item.get("data") or {}).items():
            if "nats" in item["metadata"]["name"] and key.endswith(".conf"):
                seen += 1
                found += [f"{name_of(item)}: {line}" for line in _by_nats(text, variables)]
    return found if seen else ["no configuration of NATS"]


def _by_nats(text: str, variables: Mapping[str, str]) -> list[str]:
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "nats.conf"
        authority = LocalAuthority(Path(place) / "identities", "any", MachineClock())
        files = authority.issue(NATS)
        text = text.replace(IDENTITY, str(files.certificate.parent))
        file.write_text(text.replace("/data", place))
        code, said = run(program("nats-server"), "-t", "-c", file, more=variables)
    return [] if code == 0 else [said.strip()]


def rule_problems(items: list[Object]) -> list[str]:
    """Return what promtool finds in PrometheusRules, remarks too."""
    found = []
    for item in of_kind(items, "PrometheusRule"):
        with tempfile.TemporaryDirectory() as place:
            (Path(place) / "rules.yml").write_text(json.dumps(item["spec"]))
            code, said = run_prometheus(
                *("promtool", "check", "rules", "--lint=all", "--lint-fatal", "rules.yml"),
                within=Path(place),
            )
        found += [] if code == 0 else [f"{name_of(item)}: {said.strip()}"]
    return found


def admitted(policy: Object, item: Object) -> bool:
    """Return whether a ValidatingAdmissionPolicy lets an object in, by its expressions in CEL.

    Variables are evaluated in their order, as the API server does.
    """
    environment = celpy.Environment()
    known: dict[str, Any] = {"object": celpy.json_to_cel(item)}
    variables: dict[str, Any] = {}
    for variable in policy["spec"].get("variables", []):
        variables[variable["name"]] = _value(environment, variable["expression"], known)
        known["variables"] = celpy.celtypes.MapType(
            {celpy.celtypes.StringType(name): value for name, value in variables.items()}
        )
    return all(
        bool(_value(environment, rule["expression"], known))
        for rule in policy["spec"]["validations"]
    )


def _value(environment: celpy.Environment, expression: str, known: dict[str, Any]) -> Any:
    return environment.program(environment.compile(_plain(expression))).evaluate(known)


def _plain(expression: str) -> str:
    """Return an expression without optional types, which this reader of CEL does not have."""
    return expression.replace(
        "object.spec.?initContainers.orValue([])",
        "(has(object.spec.initContainers) ? object.spec.initContainers : [])",
    )
