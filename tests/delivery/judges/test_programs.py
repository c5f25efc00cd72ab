"""The judges are the programs that they are taken for."""

import pytest

from tests.delivery.judges.programs import RELEASES, helm, kubectl, program, run

pytestmark = pytest.mark.deploy


@pytest.mark.parametrize("minor", RELEASES)
def test_helm_and_kubectl_are_the_official_ones(minor: str) -> None:
    """Helm and kubectl of three releases, each as its makers built it."""
    wanted_helm, wanted_kubectl = RELEASES[minor]

    assert run(helm(minor), "version", "--short")[1].startswith(f"v{wanted_helm}+")
    said = run(kubectl(minor), "version", "--client")[1]
    assert f"Client Version: v{wanted_kubectl}" in said


@pytest.mark.parametrize(
    "name", ["checkov", "hadolint", "zizmor", "check-jsonschema", "shellcheck"]
)
def test_a_program_is_there(name: str) -> None:
    """It says which version it is; where it is missing the test fails, and is not skipped."""
    code, said = run(program(name), "--version")

    assert code == 0, said
    assert any(character.isdigit() for character in said)


def test_a_missing_program_says_how_to_get_it() -> None:
    """A judge that is not there is no judge that is content."""
    with pytest.raises(AssertionError, match="make deploy-test"):
        program("kubeconform")
