"""docs/logs.md is what the code logs."""

import asyncio

import msgspec

from holdfast.testing import running
from tests.docs import logs
from tests.runtime.test_lines import diary, lines


def test_the_page_is_what_the_code_logs() -> None:
    """Whoever adds an event, or a field of one, writes the page again."""
    listed = {event for events in logs.WHEN.values() for event in events}
    same = logs.PAGE.read_text() == logs.page()

    assert listed == set(logs.events()), "tests/docs/logs.py says when each event is written"
    assert same, "docs/logs.md is older than the code: run `make reference`, and commit it"


async def test_a_running_system_logs_what_the_page_promises() -> None:
    """The events of a request, a letter and a saga, with these fields, and all ids."""
    events = logs.events()
    async with running(diary) as run:
        await run.client.post("/v1/bugs", json={})
        wanted = {"request", "handled", "letter.failed", "saga.parked"}
        async with asyncio.timeout(60):
            while not wanted <= {line["event"] for line in lines(run)}:
                await asyncio.sleep(0.01)

    ids = ["ts", "level", "event", "service", "correlation_id", "trace_id", "span_id"]
    for line in (one for one in lines(run) if one["event"] in wanted):
        said = events[line["event"]]
        assert list(line)[:7] == ids, msgspec.json.encode(line)
        assert (line["level"] in said.levels, line.keys() - ids) == (True, set(said.fields))
