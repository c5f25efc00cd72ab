"""A client of the simulation sends what clients send: every method that a route may have."""

from typing import Any

from holdfast import Model, Service, System
from holdfast.simulation import Client
from holdfast.simulation.run import run


class Shelf(Model):
    """What is on a shelf."""

    books: int


class Label(Model):
    """What a route was asked."""

    text: str


shelf = Service("shelf")
system = System("library", services=[shelf])
heard: list[Any] = []


@shelf.put("/shelves/{number}", public=True)
async def fill(number: int, body: Shelf) -> Label:
    """Fill it."""
    return Label(text=f"put {number} {body.books}")


@shelf.patch("/shelves/{number}", public=True)
async def add(number: int, body: Shelf) -> Label:
    """Add to it."""
    return Label(text=f"patch {number} {body.books}")


@shelf.delete("/shelves/{number}", public=True)
async def clear(number: int) -> None:
    """Clear it."""
    heard.append(f"delete {number}")


@system.workload
async def librarian(client: Client) -> None:
    """Use each method once."""
    answers = [
        await client.put("/shelves/1", json={"books": 3}, key="a"),
        await client.patch("/shelves/2", json={"books": 4}, key="b"),
    ]
    heard[:] = [answer.json()["text"] for answer in answers]
    assert (await client.delete("/shelves/3", key="c")).status == 204


def test_a_client_puts_patches_and_deletes() -> None:
    """Each request reaches the route of its method, with its body."""
    heard.clear()

    run(system, 1, faults=[])

    assert heard == ["put 1 3", "patch 2 4", "delete 3"]
