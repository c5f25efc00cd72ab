"""A pod: its network, its volumes, its containers one after the other and side by side."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from tests.delivery.kubelet.container import Container
from tests.delivery.kubelet.containers import Mount, NotStartable, Told, launch, named_ports
from tests.delivery.kubelet.images import Image
from tests.delivery.kubelet.manifests import Object, Objects
from tests.delivery.kubelet.node import Node
from tests.delivery.kubelet.policies import PodAt
from tests.delivery.kubelet.sandbox import Place
from tests.delivery.kubelet.services import DOMAIN
from tests.delivery.kubelet.volumes import make, mounts, over_their_size, refresh

DNS_ADDRESS = "10.96.0.10"
BACK_OFF_S, BACK_OFF_MAX_S = 1.0, 10.0  # a real kubelet begins with 10 s
ENDPOINT_LAG_S = 0.5
"""How long connections still come to a pod that has left its Services: nodes hear of it later."""
LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a pod finds where it runs.

    Attributes:
        group: the cluster's control group.
        images: finds an image by its name. Raises NotStartable.
        joined: returns when the network knows an address.
        changed: is called whenever something has become of the pod.
        links: the variables of a namespace's Services.
    """

    node: Node
    folder: Path
    group: str
    images: Callable[[str], Image]
    joined: Callable[[str], Awaitable[None]]
    changed: Callable[[], None]
    objects: Callable[[], Objects]
    links: Callable[[str], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Origin:
    """The workload that a pod is of; `template` is the hash of what it was made from."""

    kind: str
    name: str
    template: str


class Pod:
    """One pod of a workload.

    Attributes:
        phase: Pending, Running, Succeeded or Failed. reason: what it waits for, or why it failed.
        events: (seconds since it was made, what happened).
        volumes: {name: where it is on this machine}.
    """

    def __init__(
        self, key: tuple[str, str], declared: Object, address: str, origin: Origin, at: Surroundings
    ) -> None:
        self.namespace, self.name = key
        self.metadata: Object = declared.get("metadata") or {}
        self.spec: Object = declared["spec"]
        self.address, self.origin, self._at = address, origin, at
        self.network = f"p{address.replace('.', '-')}"
        self.phase, self.reason, self.ending = "Pending", "", False
        self.events: list[tuple[float, str]] = []
        self.containers: dict[str, Container] = {}
        self.ready_after_s: float | None = None
        self._born = time.monotonic()
        self._serves_until = 0.0
        self._was_ready = False
        self._folder = at.folder / "pods" / f"{self.name}-{uuid4().hex[:6]}"
        self.volumes: Mapping[str, Path] = {}
        self._told: Told | None = None
        self._networked = False
        self._stop = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return self.metadata.get("labels") or {}

    @property
    def ready(self) -> bool:
        """Whether all its containers are."""
        main = [self.containers.get(c["name"]) for c in self.spec["containers"]]
        return (
            self.phase == "Running"
            and not self.ending
            and all(container is not None and container.health.ready for container in main)
        )

    @property
    def restarts(self) -> int:
        """How many times its containers were started again."""
        return sum(max(0, container.restarts) for container in self.containers.values())

    @property
    def over(self) -> bool:
        """Whether nothing of it runs, and nothing will."""
        return self.phase in ("Succeeded", "Failed")

    def seen(self) -> PodAt:
        """Return how the network has it now: it is asked for a while after it was last ready."""
        serves = self.ready or time.monotonic() < self._serves_until
        host, subdomain = self.spec.get("hostname", self.name), self.spec.get("subdomain", "")
        ports = named_ports(self.spec)
        return PodAt(
            self.namespace, self.name, self.address, self.labels, ports, serves, host, subdomain
        )

    def start(self) -> None:
        """Begin."""
        self.task = asyncio.create_task(self._run(), name=f"pod {self.name}")

    async def end(self, grace_s: float | None = None) -> None:
        """End it within its grace period, or another one; 0: at once."""
        if self.task is None or self.ending:
            return
        self.ending = True
        self._note("is being ended")
        if grace_s is None:
            grace_s = float(self.spec.get("terminationGracePeriodSeconds", 30))
        if grace_s == 0:
            for container in self.containers.values():
                container.kill()
        await asyncio.gather(*(c.end(grace_s) for c in self.containers.values()))
        self._stop.set()
        if self.phase == "Pending":
            self.task.cancel()
        while not self.task.done():  # one that was just being started ends when it is there
            self.kill()
            await asyncio.wait([self.task], timeout=LOOK_S)
        self.phase = "Succeeded" if self.phase == "Running" else "Failed"
        if self._networked:
            await self._at.node.remove_network(self.network)
        self._at.changed()

    def kill(self) -> None:
        """End its processes at once, as a failing machine would; they are started again."""
        for container in self.containers.values():
            container.kill()

    def _note(self, what: str) -> None:
        self.events.append((time.monotonic() - self._born, what))
        if self.ready and self.ready_after_s is None:
            self.ready_after_s = time.monotonic() - self._born
        if self._was_ready and not self.ready:
            self._serves_until = time.monotonic() + ENDPOINT_LAG_S
            asyncio.get_running_loop().call_later(ENDPOINT_LAG_S + 0.01, self._at.changed)
        self._was_ready = self.ready
        self._at.changed()

    async def _run(self) -> None:
        try:
            await self._at.node.add_network(self.network, self.address)
            self._networked = True
            await self._at.joined(self.address)
            self._born = time.monotonic()
            await self._prepare()
            await self._run_containers()
        except NotStartable as exc:
            self.reason = str(exc)
            self._note(f"cannot be started: {exc}")

    async def _run_containers(self) -> None:
        for declared in self.spec.get("initContainers") or []:
            if not await self._keep(self.containers[declared["name"]], "OnFailure"):
                self.phase, self.reason = "Failed", f"{declared['name']} failed"
                return self._note("failed")
        self.phase = "Running"
        policy = self.spec.get("restartPolicy", "Always")
        names = [declared["name"] for declared in self.spec["containers"]]
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch_volumes())
            kept = [group.create_task(self._keep(self.containers[n], policy)) for n in names]
            await asyncio.wait(kept)
            watch.cancel()
        self.phase = "Succeeded" if all(task.result() for task in kept) else "Failed"
        return self._note("has ended")

    async def _keep(self, container: Container, policy: str) -> bool:
        """Run a container until its policy says that it is over; return whether that is well."""
        pause_s = BACK_OFF_S
        while True:
            code = await container.run()
            if (
                self._stop.is_set()
                or self.ending
                or policy == "Never"
                or (policy == "OnFailure" and code == 0)
            ):
                return code == 0
            if self.spec.get("restartPolicy") == "Never":
                return False
            try:
                async with asyncio.timeout(pause_s):
                    await self._stop.wait()
                return False
            except TimeoutError:
                pause_s = min(2 * pause_s, BACK_OFF_MAX_S)

    async def _prepare(self) -> None:
        """Make volumes and containers. Raises NotStartable."""
        at = self._at
        self._folder.mkdir(parents=True)
        objects, links = at.objects(), at.links(self.namespace)
        told = Told(self.name, self.namespace, self.address, uuid4().hex, self.metadata, links)
        self._told = told
        self.volumes = await make(self.spec, self._folder / "volumes", objects, told, at.node)
        own = self._own_files(self._folder)
        for declared in [*(self.spec.get("initContainers") or []), *self.spec["containers"]]:
            name = declared["name"]
            image = at.images(declared["image"])
            self.containers[name] = Container(
                declared,
                launch(self.spec, declared, image, objects, told),
                image,
                [*mounts(declared, self.volumes), *own],
                Place(self._folder / "containers" / name, self.network, self.name[:63], at.group),
                named_ports(self.spec),
                self.address,
                at.node,
                self._note,
            )

    def _own_files(self, folder: Path) -> list[Mount]:
        """Return what every container has of its pod: who it is, and whom it asks for names."""
        host = self.spec.get("hostname", self.name)
        search = f"{self.namespace}.svc.{DOMAIN} svc.{DOMAIN} {DOMAIN}"
        texts = {
            "hosts": f"127.0.0.1 localhost\n{self.address} {host}\n",
            "hostname": f"{host}\n",
            "resolv.conf": f"search {search}\nnameserver {DNS_ADDRESS}\noptions ndots:5\n",
        }
        for name, text in texts.items():
            (folder / name).write_text(text)
        return [Mount(folder / name, f"/etc/{name}", read_only=True) for name in texts]

    async def _watch_volumes(self) -> None:
        assert self._told is not None
        while True:
            await asyncio.sleep(LOOK_S)
            refresh(self.spec, self.volumes, self._at.objects(), self._told)
            if full := over_their_size(self.spec, self.volumes):
                self.reason = f"evicted: {', '.join(full)} holds more than its sizeLimit"
                self._note(self.reason)
                self._stop.set()
                return self.kill()
