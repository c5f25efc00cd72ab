"""Queries: each parses, and reads metrics that somebody writes."""

import re
from collections.abc import Collection, Iterator

import promql_parser

from tests.delivery.judges.objects import Object, name_of


def query_problems(items: list[Object], known: Collection[str]) -> list[str]:
    """Return queries in rules, analyses and triggers that do not parse, or ask for nobody's metric.

    Args:
        known: the names of all metrics, with the suffixes that a scrape has, and of records.
    """
    records = {
        rule["record"]
        for item in items
        for group in (item.get("spec") or {}).get("groups", [])
        if isinstance(group, dict)
        for rule in group.get("rules", [])
        if "record" in rule
    }
    return [
        f"{name_of(item)}: {problem}"
        for item in items
        for query in queries_of(item)
        for problem in problems_of(query, {*known, *records})
    ]


def queries_of(value: object) -> Iterator[str]:
    """Yield the texts under `expr` and `query`, wherever they are."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("expr", "query") and isinstance(inner, str):
                yield inner
            else:
                yield from queries_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from queries_of(inner)


def problems_of(query: str, known: Collection[str]) -> list[str]:
    """Return what is wrong with one query; arguments of a template count as a word."""
    plain = re.sub(r"\{\{\s*args\.[\w-]+\s*\}\}", "argument", query)
    try:
        parsed = promql_parser.parse(plain.replace("$__rate_interval", "5m"))
    except ValueError as error:
        return [f"{query}: {error}"]
    return [f"{query}: nobody writes {name}" for name in sorted(set(_names(parsed)) - set(known))]


def _names(node: object) -> Iterator[str]:
    """Yield the names of metrics in a parsed query."""
    name = getattr(node, "name", None)
    if type(node).__name__ == "VectorSelector" and name:
        yield str(name)
    for field in ("expr", "lhs", "rhs", "args", "vector_selector", "param"):
        inner = getattr(node, field, None)
        for part in inner if isinstance(inner, list) else [inner]:
            if part is not None and not isinstance(part, str | float):
                yield from _names(part)
