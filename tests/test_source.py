"""What the source has little of, and must not have more of: `Any`, and excepts that take all."""

import re
from pathlib import Path

import holdfast

ROOT = Path(holdfast.__file__).parent
ANY_MAX = 180
"""Lines that say `Any`; lower it when there are fewer."""
IGNORED_MAX = 29
"""Lines at which a type checker is told to look away."""
_ANY = re.compile(r"\bAny\b(?! [a-z])")  # prose is none
_BROAD = re.compile(r"^\s*except\b(\s*:|.*\b(Base)?Exception\b)")
_IGNORED = re.compile(r"\b(type|pyright): ignore\b")
_FOR_TOOLS = re.compile(r"#\s*(noqa|type|pyright)\b[^#]*")


def lines() -> list[tuple[str, str]]:
    """Return (place, line) of all lines of the source."""
    return [
        (f"{path.relative_to(ROOT)}:{number}", line)
        for path in sorted(ROOT.rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
    ]


def reason_of(line: str) -> str:
    """Return the comment of a line, without what only tools read."""
    _, _, comment = line.partition("#")
    return _FOR_TOOLS.sub("", f"#{comment}").strip("# ")


def unreasoned(source: list[tuple[str, str]]) -> list[str]:
    """Return the places of broad excepts that do not say why in their line."""
    return [place for place, line in source if _BROAD.match(line) and not reason_of(line)]


def test_there_are_no_more_anys() -> None:
    """A ratchet: a type is better, an `object` where a value is only passed on, or a TypeVar."""
    found = [place for place, line in lines() if _ANY.search(line) and "import" not in line]

    assert len(found) <= ANY_MAX, found


def test_type_checkers_are_not_told_to_look_away_more_often() -> None:
    """A ratchet: what they do not understand is rarely understood by a reader."""
    found = [place for place, line in lines() if _IGNORED.search(line)]

    assert len(found) <= IGNORED_MAX, found


def test_a_broad_except_says_why() -> None:
    """It is at an edge, or raises again; everywhere else it would hide what is not understood."""
    assert unreasoned(lines()) == []


def test_an_except_without_a_reason_is_found() -> None:
    """What only tools read is no reason, and a named error needs none."""
    source = [
        ("a", "    except Exception:"),
        ("b", "except (ValueError, BaseException) as exc:  # noqa: BLE001"),
        ("c", "except:"),
        ("d", "except Exception as exc:  # the handler's own"),
        ("e", "except BaseException:  # noqa: S112  # raised again"),
        ("f", "except ValueError:"),
        ("g", "except ExceptionGroup as group:"),
    ]

    assert unreasoned(source) == ["a", "b", "c"]
