"""The test kubelet, tried with two small services: what is declared is what runs."""

import asyncio
import errno
import json
from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path

import pytest

from holdfast.errors import CallError
from tests.delivery.kubelet.cgroups import ROOT
from tests.delivery.kubelet.cluster import Cluster, NotReady, cluster
from tests.delivery.kubelet.images import base
from tests.delivery.kubelet.manifests import Key, Object, load
from tests.delivery.kubelet.pod import Pod

pytestmark = pytest.mark.deploy

OBJECTS = load(Path(__file__).parent / "kubelet" / "fixtures")
FRONT, BACK = "front.small.svc.cluster.local", "back.small.svc.cluster.local"
DOOR = {"app": "door"}


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Two services that are ready."""
    async with cluster(OBJECTS, images={"python": base()}, folder=tmp_path) as made:
        await made.ready(60)
        yield made


async def said(small: Cluster, network: str, host: str, port: int, path: str) -> Object:
    """Return what a pod answers to whoever asks from a network."""
    client = small.client(network, host, port)
    try:
        found: Object = json.loads((await client.get(path)).body)
    finally:
        await client.close()
    return found


async def door(small: Cluster) -> str:
    """Return the network of a pod that the front lets in."""
    return await small.guest("doors", "door", DOOR)


def declared(kind: str, name: str) -> Object:
    """Return a copy of an object, to be changed."""
    return deepcopy(next(o for o in OBJECTS if o["kind"] == kind and o["metadata"]["name"] == name))


def container(workload: Object) -> Object:
    """Return the only container of a workload."""
    found: Object = workload["spec"]["template"]["spec"]["containers"][0]
    return found


async def test_a_container_is_what_is_declared(small: Cluster) -> None:
    """Its user is really another one, without capabilities, in a root that it cannot write."""
    who = await said(small, "", small.of("front")[0].address, 8080, "/who")

    assert (who["uid"], who["gid"], who["groups"], who["pid"]) == (10001, 10001, [2000], 1)
    assert who["caps"] == ["0" * 16, "0" * 16, "1"]
    assert (who["root"], who["scratch"]) == (f"OSError {errno.EROFS}", "written")
    assert who["shadow"] == f"PermissionError {errno.EACCES}"
    assert (who["secret"], who["greeting"]) == ("swordfish", None)
    assert who["links"] == ["BACK_SERVICE_HOST", "FRONT_SERVICE_HOST"]


async def test_a_job_is_done_before_deployments_begin(small: Cluster) -> None:
    """Its words are expanded as a shell never sees them."""
    (job,) = small.of("before")

    assert job.phase == "Succeeded"
    assert small.log(job) == f"made by {job.name} for everybody\n"
    assert small.of("front")[0].address > job.address


async def test_policies_let_pass_what_they_say_and_no_more(small: Cluster) -> None:
    """Each direction has to allow it, at the port where it arrives."""
    front, back = small.of("front")[0], small.of("back")[0]
    inside = await door(small)
    stranger = await small.guest("doors", "stranger", {"app": "stranger"})
    reached = [
        (name, port, await small.reaches(network, to.address, port))
        for name, network, to, port in [
            ("door to front", inside, front, 8080),
            ("door to front, another port", inside, front, 8081),
            ("door to back", inside, back, 8080),
            ("stranger to front", stranger, front, 8080),
            ("front to back", front.network, back, 8080),
            ("front to back, another port", front.network, back, 80),
            ("back to front", back.network, front, 8080),
            ("back to the other back", back.network, small.of("back")[1], 8080),
            ("back to itself", back.network, back, 8080),
            ("front to whoever is elsewhere", front.network, back, 443),
        ]
    ]

    assert [name for name, _, well in reached if well] == [
        "door to front",
        "front to back",
        "back to itself",
    ]


async def test_services_have_names(small: Cluster) -> None:
    """Short, with its namespace, in full, and those of single pods."""
    front = small.of("front")[0].address
    names = ["back", "back.small", BACK, "back-1.backs:8080", "nobody"]
    answers = [(await said(small, "", front, 8080, f"/ask/{name}/"))["said"] for name in names]

    assert [type(answer) for answer in answers] == [dict, dict, dict, dict, str]
    assert answers[3] == {"pod": "back-1"}


async def test_a_service_has_its_ready_pods_alone(small: Cluster) -> None:
    """All of them are asked; one that is not ready is asked no more, and not restarted."""
    inside = await door(small)
    address, first = small.address_of(FRONT), small.of("front")[0]

    async def asked() -> set[str]:
        return {(await said(small, inside, address, 80, "/"))["pod"] for _ in range(20)}

    both = await asked()
    await said(small, "", first.address, 8080, "/ill")
    await small.until(lambda: not first.seen().ready, 10)
    await asyncio.sleep(0.2)

    assert both == {pod.name for pod in small.of("front")}
    assert await asked() == both - {first.name}
    assert first.restarts == 0


async def test_a_pod_that_is_killed_is_started_again(small: Cluster) -> None:
    """Where it is, and as what it was."""
    pod = small.of("front")[0]
    address = pod.address

    pod.kill()
    await small.until(lambda: pod.restarts == 1 and pod.ready, 30)

    assert (await said(small, "", address, 8080, "/"))["pod"] == pod.name
    assert any("exit code 137" in what for _, what in pod.events)


async def test_a_pod_that_takes_too_much_memory_is_ended_by_the_kernel(small: Cluster) -> None:
    """The limit is the control group's."""
    pod = small.of("front")[0]

    with pytest.raises(CallError):
        await said(small, "", pod.address, 8080, "/hoard")
    await small.until(lambda: pod.restarts == 1 and pod.ready, 30)

    assert any("OOMKilled" in what for _, what in pod.events)


async def test_a_pod_that_fills_its_volume_is_evicted(small: Cluster) -> None:
    """Another one takes its place."""
    pod = small.of("front")[0]

    await said(small, "", pod.address, 8080, "/fill")
    await small.until(lambda: pod not in small.pods.values(), 30)
    await small.ready()

    assert pod.reason == "evicted: scratch holds more than its sizeLimit"
    assert len(small.of("front")) == 2


async def roll(small: Cluster) -> tuple[list[Pod], int]:
    """Replace all pods of the front while it is asked; return the old ones, and what failed."""
    inside = await door(small)
    address, failed, over = small.address_of(FRONT), 0, asyncio.Event()

    async def ask() -> None:
        nonlocal failed
        while not over.is_set():
            try:
                await said(small, inside, address, 80, "/")
            except CallError:
                failed += 1

    for pod in small.of("front"):  # so that what is under way has to be waited for
        asyncio.get_running_loop().create_task(said(small, "", pod.address, 8080, "/slow"))
    old, new = small.of("front"), declared("Deployment", "front")
    container(new)["env"].append({"name": "NEW", "value": "yes"})
    asking = [asyncio.create_task(ask()) for _ in range(4)]
    small.apply([new])
    await small.until(lambda: all(pod not in small.pods.values() for pod in old), 60)
    await small.ready()
    over.set()
    await asyncio.gather(*asking)
    return old, failed


async def test_a_rolling_update_loses_no_request(small: Cluster) -> None:
    """A pod leaves its Service, waits, hears SIGTERM itself, and drains."""
    old, failed = await roll(small)

    assert failed == 0
    for pod in old:
        assert pod.containers["echo"].reason == "exit code 0"
        assert "drained" in pod.containers["echo"].log.read_text()


async def test_without_its_pause_a_rolling_update_loses_requests(small: Cluster) -> None:
    """Nodes hear late of a pod that ends: this is what the pause is for."""
    hasty = declared("Deployment", "front")
    del container(hasty)["lifecycle"]
    small.apply([hasty])
    await small.until(
        lambda: all("lifecycle" not in p.spec["containers"][0] for p in small.of("front")), 60
    )
    await small.ready()
    _, failed = await roll(small)

    assert failed > 0


async def test_what_is_missing_is_told(small: Cluster) -> None:
    """A probe that asks in vain, a map that is not there, a user that must not be root."""
    wrong = {name: declared("Deployment", "front") for name in ("probe", "map", "root", "image")}
    for name, workload in wrong.items():
        workload["metadata"]["name"] = name
    container(wrong["probe"])["startupProbe"] = {
        "tcpSocket": {"port": 8081},
        "periodSeconds": 1,
        "failureThreshold": 2,
    }
    container(wrong["map"])["envFrom"] = [{"configMapRef": {"name": "nobody"}}]
    wrong["root"]["spec"]["template"]["spec"]["securityContext"]["runAsUser"] = 0
    container(wrong["image"])["image"] = "elsewhere/thing:1"

    small.apply(wrong.values())
    with pytest.raises(NotReady) as caught:
        await small.ready(4)
    told = str(caught.value)
    small.delete(*(Key("Deployment", "small", name) for name in wrong))
    await small.until(lambda: len(small.pods) == 5, 30)

    assert "startupProbe failed 2 times" in told
    assert "there is no ConfigMap nobody in small" in told
    assert "runAsNonRoot, and its user is root" in told
    assert "there is no image elsewhere/thing:1" in told


async def test_nothing_is_left(tmp_path: Path) -> None:
    """No process, no mount, no control group; the machine's network has never known of it."""
    async with cluster(OBJECTS, images={"python": base()}, folder=tmp_path) as made:
        await made.ready(60)
        pid = made.of("front")[0].containers["echo"].pid
        links = Path("/proc/net/dev").read_text()

    assert "v10244" not in links
    assert not Path(f"/proc/{pid}").exists()
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    assert not [kind for kind in ("", "memory", "cpu") if (ROOT / kind / made.group).exists()]
