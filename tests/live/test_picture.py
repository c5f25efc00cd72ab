"""The live graph as a pure function of two looks at what processes say."""

import io
from dataclasses import replace

import msgspec
import pytest
from rich.console import Console

from holdfast import Gateway, Saga, Service, Slo, System
from holdfast.live import LiveEdge, LiveGraph, LiveService, Said, picture, read_sample
from holdfast.live.table import drawn
from tests.runtime.ferry import Booking, desk, harbour

ferry = System("ferry", services=[desk, harbour], gateway=Gateway(), slo=Slo(availability=0.99))
counter = Service("counter")
till = System("till", services=[counter])


@counter.saga(slo=Slo(settled_s=30, share=0.5))
async def pay(saga: Saga, booking: Booking) -> None:
    """Do nothing."""


def said(name: str, text: str, *services: str, status: str = "ready") -> Said:
    """Return what a process says."""
    return Said(name, status, services, {}, read_sample(text))


def served(status: int, count: int, fast: int, *, service: str = "gateway") -> str:
    """Return the series of one status of the desk's route."""
    labels = (
        f'http_request_method="POST",http_route="/bookings",'
        f'http_response_status_code="{status}",service="{service}"'
    )
    name = "http_server_request_duration_seconds"
    return (
        f'{name}_bucket{{{labels},le="0.3"}} {fast}\n{name}_bucket{{{labels},le="1"}} {count}\n'
        f'{name}_bucket{{{labels},le="+Inf"}} {count}\n{name}_count{{{labels}}} {count}\n'
    )


def handled(count: int, error: str = "") -> str:
    """Return the series of a handler."""
    type_ = f',error_type="{error}"' if error else ""
    labels = f'messaging_destination_name="harbour.Load",service="harbour"{type_}'
    return f"messaging_process_duration_seconds_count{{{labels}}} {count}\n"


def edge(graph: LiveGraph, message: str) -> LiveEdge:
    """Return an edge."""
    [found] = [one for one in graph.edges if one.message == message]
    return found


def service(graph: LiveGraph, name: str) -> LiveService:
    """Return a service."""
    [found] = [one for one in graph.services if one.name == name]
    return found


def test_rates_are_of_the_time_between_two_looks() -> None:
    """Over all processes; what the service counts itself is not counted again."""
    before = [said("a", served(202, 100, 100), "desk"), said("b", served(202, 10, 10), "desk")]
    now = [
        said("a", served(202, 130, 128) + served(500, 10, 10), "desk"),
        said("b", served(202, 20, 20) + served(202, 900, 900, service="desk"), "desk"),
    ]
    graph = picture(ferry, before, now, 2.0)
    route = edge(graph, "POST /bookings")

    assert (route.rate, route.errors, route.p99_ms) == (25.0, 0.2, 1000.0)
    assert (service(graph, "desk").rate, service(graph, "desk").processes) == (25.0, 2)
    assert service(graph, "harbour").state == "down"


def test_a_process_that_was_started_again_is_measured_from_its_start() -> None:
    """Its counters began at 0: no rate is negative."""
    before = [said("a", "process_start_time_seconds 1\n" + served(202, 100, 100), "desk")]
    now = [said("a", "process_start_time_seconds 2\n" + served(202, 4, 4), "desk")]

    assert edge(picture(ferry, before, now, 2.0), "POST /bookings").rate == 2.0


def test_a_declared_failure_is_no_error() -> None:
    """A handler that refuses does as it should; one that breaks is counted apart."""
    errors = 'holdfast_handler_errors_total{messaging_destination_name="harbour.Load"} '
    before = [said("a", handled(10) + handled(5, "Full") + f"{errors}1\n", "harbour")]
    now = [said("a", handled(14) + handled(9, "Full") + f"{errors}3\n", "harbour")]
    load = edge(picture(ferry, before, now, 4.0), "Load.v1")

    assert (load.rate, load.errors) == (2.0, 0.25)


def test_the_backlog_is_of_a_sender_a_receiver_and_a_lane() -> None:
    """An undo's is apart from new work."""
    text = "".join(
        f'holdfast_letters_in_flight{{service="desk",receiver="harbour",lane="{lane}"}} {n}\n'
        for lane, n in (("work", 7), ("urgent", 2))
    )
    graph = picture(ferry, [], [said("a", text, "desk")], 1.0)

    assert (edge(graph, "Load.v1").backlog, edge(graph, "Free.v1").backlog) == (7, 2)


@pytest.mark.parametrize(
    ("bad", "slow", "left", "of"),
    [
        (5, 0, 0.5, "desk available"),
        (20, 0, -1.0, "desk available"),
        (0, 5, 0.5, "desk in time"),
        (0, 0, 1.0, "desk available"),
    ],
)
def test_what_is_left_of_a_budget(bad: int, slow: int, left: float, of: str) -> None:
    """Of the promise with the least left: 1 % may fail here, and 1 % be slow."""
    text = served(202, 1000 - bad, 1000 - bad - slow) + (served(500, bad, bad) if bad else "")
    found = service(picture(ferry, [], [said("a", text, "desk")], 1.0), "desk")

    assert (found.budget, found.of) == (left, of)


def test_a_parked_saga_has_not_settled() -> None:
    """However soon it was parked: of four one is not good, and two may be; others are no matter."""
    name = "holdfast_saga_duration_seconds"
    ended = "".join(
        f'{name}_bucket{{service="{at}",saga="pay",outcome="{outcome}",le="30"}} {count}\n'
        f'{name}_count{{service="{at}",saga="pay",outcome="{outcome}"}} {count}\n'
        for at, outcome, count in (
            *(("counter", "completed", 2), ("counter", "failed", 1), ("counter", "parked", 1)),
            ("elsewhere", "completed", 90),
        )
    )
    found = service(picture(till, [], [said("a", ended, "counter")], 1.0), "counter")

    assert (found.budget, found.of) == (0.5, "counter pay settled")


def test_what_tables_say_is_not_added_up() -> None:
    """Each process of a service tells the same; what needs a person is one number."""
    text = (
        'holdfast_outbox_rows{service="desk"} 4\nholdfast_outbox_oldest_seconds{service="desk"} 9\n'
        'holdfast_dead_letters{service="desk"} 2\n'
        'holdfast_parked_sagas{service="desk",saga="travel"} 1\n'
    )
    both = [said("a", text, "desk"), said("b", text, "desk")]
    found = service(picture(ferry, [], both, 1.0), "desk")

    assert (found.waits, found.oldest_s, found.needs) == (4, 9.0, 3)


def test_how_a_service_is() -> None:
    """Ready, ill with the reason, draining, or down; who does not answer is named."""
    ill = replace(said("a", "", "desk"), troubles={"broker": "away"})
    silent = Said("c", "")
    ends = said("b", "", "harbour", status="draining")
    graph = picture(ferry, [], [ill, ends, silent], 1.0)
    page = Console(width=200, record=True, file=io.StringIO())
    page.print(drawn(graph))
    text = page.export_text()

    assert [(s.name, s.state, s.why) for s in graph.services] == [
        ("desk", "ill", "broker: away"),
        ("harbour", "draining", ""),
    ]
    assert graph.silent == ["c"]
    assert "desk: broker: away" in text and "c does not answer" in text


def test_a_terminal_of_80_columns_shows_whole_words() -> None:
    """Names and numbers are not broken over lines, and what is spent is said below the table."""
    one = LiveService(
        "notifications", "draining", 12, 123.5, 0.125, 750, 24, 86, 99, 7, 0.42, "all routes"
    )
    other = msgspec.structs.replace(one, name="desk", budget=-0.5, of="desk POST /bookings")
    page = Console(width=80, record=True, file=io.StringIO())
    page.print(drawn(LiveGraph("ferry", 2.0, [one, other], [], [])))
    lines = page.export_text().splitlines()

    assert [line.split()[:3] for line in lines if "draining" in line] == [
        ["notifications", "draining", "12"],
        ["desk", "draining", "12"],
    ]
    assert "notifications: the promise of all routes, 42% of its budget is left" in lines
    assert "desk: the promise of desk POST /bookings is broken, -50% of its budget is left" in lines


def test_an_exposition_is_read_as_it_is_written() -> None:
    """Escaped labels, numbers of every form; comments and what is not a number are left out."""
    sample = read_sample(
        "# HELP a b\n# TYPE a gauge\na 1\n"
        'a{x="q\\"\\\\\\n}",y=""} 2.5e3\nb NaN\nc{le="+Inf"} +Inf\n?'
    )

    assert sample.numbers == {
        "a": [({}, 1.0), ({"x": 'q"\\\n}', "y": ""}, 2500.0)],
        "c": [({"le": "+Inf"}, float("inf"))],
    }
