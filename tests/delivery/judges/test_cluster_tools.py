"""kubectl, Kustomize and Helm by their own binaries, each with a sample that it must refuse."""

from pathlib import Path

import pytest

from tests.delivery.judges.cluster_tools import (
    ChartError,
    decoding_problems,
    idle_entries,
    kustomized,
    read_by_kubectl,
    templated,
)
from tests.delivery.judges.objects import differences
from tests.delivery.judges.programs import RELEASES
from tests.delivery.judges.samples import FOLDER, changed, only, system

pytestmark = pytest.mark.deploy

BOX = "spec/template/spec/containers/0"


@pytest.mark.parametrize("minor", RELEASES)
def test_kubectl_decodes_the_sample(minor: str) -> None:
    """With the types of each version."""
    assert decoding_problems(system(), minor) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (f"{BOX}/resources/limits/memory", "128Mib", "quantities must match"),
        (f"{BOX}/ports/0/containerPort", "http", "cannot unmarshal string"),
        ("kind", "Deploymant", "no kind"),
        ("apiVersion", "apps/v1beta3", "no kind"),
        ("spec/replicas", 1.5, "cannot unmarshal number"),
    ],
)
def test_kubectl_refuses_what_does_not_decode(path: str, value: object, said: str) -> None:
    """Types and quantities that the schemas leave open."""
    problems = decoding_problems(changed("Deployment", "orders", path, value))

    assert any(said in problem for problem in problems), problems


def test_kubectl_reads_the_sample_as_python_does() -> None:
    """Object by object; so nothing in it is a text to the one and a number to the other."""
    assert differences(system(), read_by_kubectl(FOLDER / "system.yaml")) == []


def test_a_text_that_kubectl_reads_as_a_number_is_seen(tmp_path: Path) -> None:
    """PyYAML leaves it unquoted and reads it as a text."""
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\n"
    file = tmp_path / "a.yaml"
    file.write_text(f"{head}data: {{card: 1234567e8}}\n")
    [item] = read_by_kubectl(file)
    text = {**item, "data": {"card": "1234567e8"}}

    assert differences([text], [item]) == [
        "ConfigMap b/a: .data.card is '1234567e8' on the left, 123456700000000 on the right"
    ]


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    """An overlay in which one patch, one image and one generator do something."""
    base, folder = tmp_path / "base", tmp_path / "overlays" / "production"
    base.mkdir()
    folder.mkdir(parents=True)
    (base / "system.yaml").write_text((FOLDER / "system.yaml").read_text())
    (base / "kustomization.yaml").write_text("resources: [system.yaml]\n")
    (folder / "kustomization.yaml").write_text(
        """
resources: [../../base]
patches:
  - target: {kind: HorizontalPodAutoscaler, name: orders}
    patch: '[{"op": "replace", "path": "/spec/maxReplicas", "value": 12}]'
images:
  - name: ghcr.io/example/store
    digest: sha256:2222222222222222222222222222222222222222222222222222222222222222
"""
    )
    return folder


def test_every_entry_of_the_overlay_does_something(overlay: Path) -> None:
    """Its build differs from the base in what its entries say, and in nothing else."""
    built = kustomized(overlay)

    assert idle_entries(overlay) == []
    assert only(built, "HorizontalPodAutoscaler", "orders")["spec"]["maxReplicas"] == 12
    assert len(differences(system(), built)) == 3


def test_an_entry_without_effect_is_seen(overlay: Path) -> None:
    """Kustomize builds it without a word: a name that nobody has, in a patch and in an image."""
    file = overlay / "kustomization.yaml"
    text = file.read_text().replace("name: orders}", "name: order}")
    file.write_text(text.replace("ghcr.io/example/store", "ghcr.io/example/shop"))

    assert idle_entries(overlay) == [
        "production: patches[0] changes nothing",
        "production: images[0] changes nothing",
    ]


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A chart with a schema that takes one value."""
    folder = tmp_path / "store"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: store\nversion: 0.1.0\n")
    (folder / "values.yaml").write_text('greeting: "012345678901"\n')
    (folder / "values.schema.json").write_text(
        '{"type": "object", "additionalProperties": false, "properties":'
        ' {"greeting": {"type": "string"}, "global": {"type": "object"}}}'
    )
    (folder / "templates" / "map.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  namespace: store\n"
        'data:\n  greeting: {{ required "a greeting" .Values.greeting | quote }}\n'
    )
    return folder


@pytest.mark.parametrize("minor", RELEASES)
def test_helm_renders_a_chart(chart: Path, minor: str, tmp_path: Path) -> None:
    """Each release reads the same values as the same objects."""
    values = tmp_path / "values-production.yaml"
    values.write_text('greeting: "1e3"\n')

    [plain] = templated(chart, namespace="store", minor=minor)
    [other] = templated(chart, values, namespace="store", minor=minor)
    assert plain["data"] == {"greeting": "012345678901"}
    assert other["data"] == {"greeting": "1e3"}


@pytest.mark.parametrize("minor", RELEASES)
@pytest.mark.parametrize(
    ("values", "said"), [("greting: a\n", "greting"), ("greeting: 1\n", "greeting")]
)
def test_helm_refuses_values_that_nobody_knows(
    chart: Path, minor: str, values: str, said: str, tmp_path: Path
) -> None:
    """By the chart's schema: an unknown key, and a wrong type."""
    file = tmp_path / "wrong.yaml"
    file.write_text(values)

    with pytest.raises(ChartError, match=said):
        templated(chart, file, namespace="store", minor=minor)


def test_helm_refuses_a_template_that_lint_accepts(chart: Path) -> None:
    """`required` is green in `helm lint`; so only `helm template` judges."""
    with pytest.raises(ChartError, match="a greeting"):
        templated(chart, namespace="store", more=("--set-string", "greeting="))
