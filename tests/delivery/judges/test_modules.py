"""Terraform's modules: the sample is accepted, and what does not fit together is refused."""

import shutil
from pathlib import Path

import pytest
from lark.exceptions import LarkError

from tests.delivery.judges.modules import module_problems
from tests.delivery.judges.samples import FOLDER

pytestmark = pytest.mark.deploy


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A copy of the sample."""
    return Path(shutil.copytree(FOLDER / "terraform", tmp_path / "network"))


def test_the_sample_is_accepted(module: Path) -> None:
    """A network over three zones."""
    assert module_problems(module) == []


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("cidr_block           = var", "cidr_blok = var", "aws_vpc.main: does not take cidr_blok"),
        ("  vpc_id            = aws_vpc.main.id\n", "", "aws_subnet.private: needs vpc_id"),
        ('"aws_vpc" "main"', '"aws_vcp" "main"', "aws_vcp.main: no provider has it"),
        ("      protocol    =", "      protocoll =", "ingress: does not take protocoll"),
        ("var.region", "var.regoin", "there is no variable regoin"),
        ("local.zones", "local.zone", "there is no local zone"),
        ("local.zones", "data.aws_availability_zones.here.names", "local.zones: nothing reads it"),
        ("aws_availability_zones.here", "aws_availability_zones.there", "there is no data"),
        (".here.names", ".here.name", "gives no name"),
        ("aws_vpc.main.id\n\n", "aws_vpc.mine.id\n\n", "there is no resource aws_vpc.mine"),
        ("aws_vpc.main.id\n\n", "aws_vpc.main.ids\n\n", "aws_vpc gives no ids"),
        ("slice(", "slise(", "there is no function slise"),
        ("region = var.region", "zone = var.region", "provider aws: does not take zone"),
        ('  description = "the private subnets, by zone"\n', "", "no description"),
    ],
)
def test_what_does_not_fit_is_refused(module: Path, right: str, wrong: str, said: str) -> None:
    """Unknown and missing arguments, and names that nobody declares."""
    file = module / "main.tf"
    text = file.read_text()
    assert right in text
    file.write_text(text.replace(right, wrong, 1))

    problems = module_problems(module)
    assert any(said in problem for problem in problems), problems


def test_what_is_no_hcl_is_refused(module: Path) -> None:
    """A bracket that is not closed."""
    (module / "more.tf").write_text('resource "aws_vpc" "more" {\n')

    with pytest.raises(LarkError, match="Unexpected"):
        module_problems(module)


def test_a_module_is_given_what_it_takes(module: Path) -> None:
    """What is called in another folder is read there, with what it gives."""
    root = module.parent / "live"
    root.mkdir()
    call = 'module "network" {\n  source = "../network"\n  regoin = "eu-central-1"\n}\n'
    use = 'output "zones" {\n  description = "x"\n  value = module.network.subnet\n}\n'
    (root / "main.tf").write_text(call + use)

    assert module_problems(root) == [
        "live: output zones: module network gives no subnet",
        "live: module network: does not take regoin",
        "live: module network: needs region",
    ]
