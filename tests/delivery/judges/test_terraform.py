"""What is rendered for clouds: modules fit together, and scanners and schemas accept it."""

import re
import shutil
from pathlib import Path

import pytest

from holdfast.delivery import write
from holdfast.delivery.parts import RenderedPart, render, rendering_of
from shop.system import shop
from tests.delivery.judges.environment import secret_problems
from tests.delivery.judges.modules import module_problems
from tests.delivery.judges.names import name_problems
from tests.delivery.judges.network import policy_problems
from tests.delivery.judges.objects import objects_of
from tests.delivery.judges.pods import resource_problems, security_problems
from tests.delivery.judges.programs import run
from tests.delivery.judges.quantities import quantity_problems
from tests.delivery.judges.references import reference_problems
from tests.delivery.judges.scanners import scanned
from tests.delivery.judges.schemas import MINORS, schema_problems
from tests.delivery.judges.stand_ins import stand_ins
from tests.delivery.test_terraform import CLOUDS, mint

pytestmark = pytest.mark.deploy

OUTSIDE = ("ClusterIssuer/letsencrypt", "ClusterSecretStore/secrets", "Secret/database-admin")
"""What somebody else makes; the last, an output of Terraform."""


@pytest.fixture(scope="module", params=[shop, mint()], ids=lambda system: system.name)
def terraform(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rendered folder of the shop, and of a system that people give a secret to."""
    folder = tmp_path_factory.mktemp(request.param.name)
    rendering = rendering_of(request.param, folder, typed=request.param.name)
    write(render(rendering, (RenderedPart.TERRAFORM, RenderedPart.KUBERNETES)), folder)
    return folder / "terraform"


@pytest.mark.parametrize("cloud", CLOUDS)
def test_modules_and_roots_fit_together(terraform: Path, cloud: str) -> None:
    """Each argument is one that its resource takes; each name is declared, and read."""
    folders = sorted({file.parent for file in (terraform / cloud).rglob("*.tf")})

    assert len(folders) == 10 + 1 + 2 * 2
    assert [line for folder in folders for line in module_problems(folder)] == []


@pytest.mark.parametrize("cloud", CLOUDS)
def test_checkov_accepts_each_cloud(terraform: Path, cloud: str) -> None:
    """What it asks and is not done has a reason, beside the others."""
    assert scanned(terraform / cloud, "terraform") == []


def test_a_wrong_module_is_refused(terraform: Path, tmp_path: Path) -> None:
    """A root that gives a module one thing less, and a resource that is told what it cannot be."""
    copy = Path(shutil.copytree(terraform, tmp_path / "terraform"))
    root, module = copy / "aws/production/main.tf", copy / "aws/modules/databases/main.tf"
    root.write_text(
        root.read_text().replace('source                 = "../modules/data', '  x = "')
    )
    module.write_text(module.read_text().replace("storage_encrypted", "storage_encryptd"))

    assert "does not take storage_encryptd" in "\n".join(module_problems(module.parent))
    assert "module databases" in "\n".join(module_problems(root.parent))


def test_the_job_of_databases_is_one_that_a_cluster_takes(terraform: Path) -> None:
    """Its manifests match the schemas of each version, and fit to the others of the namespace."""
    job = objects_of(terraform / "databases" / "production.yaml")
    beside = objects_of(terraform.parent / "kubernetes" / "production")
    checks = (security_problems, resource_problems, quantity_problems, name_problems)

    assert [item["kind"] for item in job].count("Job") == 1
    for minor in MINORS:
        assert [line for item in job for line in schema_problems(item, minor)] == []
    for check in (*checks, policy_problems, secret_problems):
        before = check(beside)
        assert [line for line in check([*beside, *job]) if line not in before] == []
    assert reference_problems([*beside, *job], outside=OUTSIDE) == []


ITSELF = pytest.mark.skipif(
    shutil.which("terraform") is None,
    reason="there is no terraform on the PATH: what it says itself is not judged",
)


@ITSELF
def test_terraform_itself_has_nothing_to_lay_out(terraform: Path) -> None:
    """`terraform fmt` changes no file, and so reads each."""
    code, said = run("terraform", "fmt", "-check", "-diff", "-recursive", terraform)

    assert code == 0, said


@ITSELF
@pytest.mark.parametrize("cloud", CLOUDS)
def test_terraform_itself_validates_and_plans(terraform: Path, cloud: str, tmp_path: Path) -> None:
    """`validate` in each root, and the tests beside it, with stand-ins of the providers."""
    copy = Path(shutil.copytree(terraform / cloud, tmp_path / cloud))
    roots = [f.parent for f in sorted(copy.rglob("main.tf")) if "modules" not in f.parts]
    with stand_ins("\n".join(file.read_text() for file in copy.rglob("*.tf"))) as more:
        for root in roots:
            assert done(root, more, "init", "-backend=false", "-input=false") == 0
            assert done(root, more, "validate") == 0
            assert done(root, more, "test") == 0


@ITSELF
def test_terraform_itself_refuses_what_is_wrong(terraform: Path, tmp_path: Path) -> None:
    """An argument that nobody knows, and a database that would be less protected."""
    copy = Path(shutil.copytree(terraform / "aws", tmp_path / "aws"))
    root, server = copy / "production", copy / "modules" / "databases" / "main.tf"
    right = server.read_text()
    with stand_ins("\n".join(file.read_text() for file in copy.rglob("*.tf"))) as more:
        done(root, more, "init", "-backend=false", "-input=false")
        server.write_text(right.replace("storage_encrypted", "storage_encryptd"))
        assert done(root, more, "validate") == 1
        server.write_text(re.sub(r"multi_az .*", "multi_az = false", right))
        assert done(root, more, "validate") == 0
        assert done(root, more, "test") == 1


def done(root: Path, more: dict[str, str], *words: str) -> int:
    """Run Terraform in a root; return its exit code, and print what it says."""
    code, said = run("terraform", *words, "-no-color", within=root, more=more)
    print(root.name, *words, said)
    return code
