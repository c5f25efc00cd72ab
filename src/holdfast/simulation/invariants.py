"""What must hold for every system: the promises of the protocol, as checks of a world."""

from collections import Counter
from collections.abc import Iterator
from uuid import UUID

from holdfast.contract.envelope import Kind, MessageRow, State
from holdfast.simulation.world import World

_TWICE = "SELECT seed, what, count(*) FROM holdfast_effect GROUP BY seed, what HAVING count(*) > 1"


def effects_of(world: World, service: str) -> Counter[UUID]:
    """Return {seed of a unit of work: how often it was committed}."""
    found = world.stores[service].fetch("SELECT seed, count(*) FROM holdfast_effect GROUP BY seed")
    return Counter({UUID(seed): times for seed, times in found})


def every_saga_ends(world: World) -> None:
    """Every started saga ends: completed, or failed and undone."""
    for service in world.services:
        for saga in world.stores[service].sagas():
            assert saga.state in ("completed", "failed"), (
                f"{service}: saga {saga.type} {saga.id} is {saga.state}: {saga.error or ''}"
            )


def nothing_is_left_open(world: World) -> None:
    """Every letter is answered, nothing is due, held or dead."""
    left = list(open_rows(world))
    assert not left, f"{len(left)} rows are open: {'; '.join(map(_told, left[:4]))}"


def an_effect_happens_once(world: World) -> None:
    """No unit of work was committed twice."""
    for service in world.services:
        for seed, what, times in world.stores[service].fetch(_TWICE):
            raise AssertionError(f"{service}: {what} {UUID(seed)} had its effect {times} times")


def every_event_is_heard_once(world: World) -> None:
    """Every committed event reaches every subscriber, once."""
    counts = {service: effects_of(world, service) for service in world.services}
    for service, letter, receiver in _letters(world):
        if letter.kind is Kind.EVENT:
            heard = counts[receiver][letter.id]
            assert heard == 1, f"{service}: event {letter.id} was heard {heard} times by {receiver}"


def what_is_undone_has_no_effect(world: World) -> None:
    """No undone step has a surviving effect, and nothing is undone that did not happen."""
    counts = {service: effects_of(world, service) for service in world.services}
    for service, letter, receiver in _letters(world):
        if letter.kind is Kind.UNDO and letter.about is not None:
            done, undone = counts[receiver][letter.about], counts[receiver][letter.id]
            assert done == undone, (
                f"{service}: {receiver} did {letter.about} {done} times and undid it {undone} times"
            )


def what_was_acknowledged_is_kept(world: World) -> None:
    """A request that was answered with 2xx had its effect, and one key had one."""
    written: Counter[str] = Counter()
    for service in world.services:
        found = world.stores[service].fetch("SELECT what, correlation FROM holdfast_effect")
        for what, correlation in found:
            if what.startswith(("POST ", "PUT ", "PATCH ", "DELETE ")):
                written[correlation] += 1
    for answer in world.history.of("answer"):
        fields = answer.fields
        if fields["method"] == "GET" or not 200 <= fields["status"] < 300:
            continue
        count = written[fields["id"]]
        if fields["key"] or count:
            assert count == 1, f"{fields['id']} was answered {fields['status']}: {count} effects"


def nothing_leaves_the_graph(world: World) -> None:
    """Every letter goes along a declared edge."""
    edges = {(edge.sender, edge.receiver) for edge in world.system.graph().edges}
    for service, letter, receiver in _letters(world):
        assert service == receiver or (service, receiver) in edges, (
            f"{service} sent {letter.id} to {receiver}, which it does not declare"
        )


def nobody_gets_what_no_edge_allows(world: World) -> None:
    """An intruder gets nothing, and no letter that he has forged is taken."""
    assert not world.breaches, world.breaches[0]
    for service in world.services if world.forged else ():
        effects = effects_of(world, service)
        taken = [letter for letter in world.forged if effects[letter]]
        taken += [row.id for row in _open(world, service) if row.id in world.forged]
        assert not taken, f"{service} has taken the forged letter {taken[0]}"


def nothing_went_wrong_unseen(world: World) -> None:
    """No callback raised, and nothing reached out of the simulation."""
    for error in world.loop.errors[:1]:
        cause = error.get("exception")
        raise AssertionError(f"{error.get('message')}: {cause!r}") from cause


def nobody_turns_in_circles(world: World) -> None:
    """No service asks its database again and again with nothing to do."""
    most = 500 + 100 * world.loop.time() + 50 * world.setup.size
    for service in world.services:
        begun = world.steps[f"{service} begin"]
        assert begun <= most, f"{service} began {begun} transactions in {world.loop.time():.0f} s"


def open_rows(world: World) -> Iterator[tuple[str, MessageRow]]:
    """Yield (service, row) of what is not settled; ticks always are, and expected dead letters."""
    found = [(service, row) for service in world.services for row in _open(world, service)]
    dead = {row.id for _, row in found if row.state is State.DEAD and world.setup.dead_letters}
    for service, row in found:
        if row.kind is not Kind.TICK and row.id not in dead:
            yield service, row


def _open(world: World, service: str) -> list[MessageRow]:
    return world.stores[service].open_rows()


def is_settled(world: World) -> bool:
    """Whether nothing is under way any more."""
    if any(row.due_at is not None for _, row in open_rows(world)):
        return False
    sagas = (saga for service in world.services for saga in world.stores[service].sagas())
    return all(saga.state != "running" for saga in sagas)


def _letters(world: World) -> Iterator[tuple[str, MessageRow, str]]:
    """Yield (sender, row, receiver) of every letter that was ever committed."""
    for service in world.services:
        store = world.stores[service]
        for letter in store.letters.values():
            yield service, letter, store.receiver(letter.edge)


def _told(left: tuple[str, MessageRow]) -> str:
    service, row = left
    return f"{service}: {row.kind} {row.id} {row.state} after {row.tries} tries {row.error or ''}"


ALL = (
    nothing_went_wrong_unseen,
    every_saga_ends,
    nothing_is_left_open,
    an_effect_happens_once,
    every_event_is_heard_once,
    what_is_undone_has_no_effect,
    what_was_acknowledged_is_kept,
    nothing_leaves_the_graph,
    nobody_gets_what_no_edge_allows,
    nobody_turns_in_circles,
)
ALWAYS = (an_effect_happens_once,)
