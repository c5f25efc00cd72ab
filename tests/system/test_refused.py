"""Every check has a file in `refused/` whose first lines say what must be refused."""

from pathlib import Path

import pytest

from holdfast.errors import DeclarationError
from tests.system.loading import HERE, system_of

REFUSED = sorted((HERE / "refused").glob("*.py"))


def expected(path: Path) -> list[str]:
    """Return what the `# error:` lines at the top of a file say; an indented one goes on."""
    head = path.read_text().partition("\n\n")[0].replace("\n#   ", " ")
    return [line.removeprefix("# error: ") for line in head.splitlines()]


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: path.stem)
def test_a_wrong_declaration_is_refused_with_all_its_problems(path: Path) -> None:
    """Each problem is found, in order, and none that is not there."""
    system = system_of(path)

    with pytest.raises(DeclarationError) as refused:
        system.check()

    problems = refused.value.problems
    wanted = expected(path)
    assert [w for w, p in zip(wanted, problems, strict=False) if w not in p] == [], problems
    assert len(problems) == len(wanted), problems
    assert all(";" in problem for problem in problems), "a problem comes with its remedy"
