"""A cluster for a test: objects in, pods that run, and a hand to reach, kill and replace them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

from holdfast.testing import Client
from tests.delivery.kubelet.cgroups import remove
from tests.delivery.kubelet.containers import NotStartable
from tests.delivery.kubelet.controllers import Controllers
from tests.delivery.kubelet.images import TOOLS, Image
from tests.delivery.kubelet.manifests import Key, Object, Objects, key_of
from tests.delivery.kubelet.network import ClusterNetwork
from tests.delivery.kubelet.node import Node
from tests.delivery.kubelet.pod import Pod, Surroundings
from tests.delivery.kubelet.reach import FromNetwork, reaches
from tests.delivery.kubelet.services import links

_POLL_S = 0.02


class NotReady(AssertionError):
    """What was declared did not come up; the message says how far each pod has come."""


@asynccontextmanager
async def cluster(
    objects: Iterable[Object], *, images: Mapping[str, Image], folder: Path
) -> AsyncIterator["Cluster"]:
    """Run what is declared, and end all of it.

    Args:
        images: {part of an image's name: what it is}.
        folder: empty; what pods write is there, and what they say.
    Raises:
        NoNode: this machine cannot hold one.
    """
    node = Node(TOOLS)
    await node.start()
    made = Cluster(node, objects, images, folder)
    async with AsyncExitStack() as ending:  # whatever fails, the rest is ended too
        ending.push_async_callback(remove, made.group)
        ending.push_async_callback(node.stop)
        ending.push_async_callback(made.stop)
        await made.start()
        yield made


class Cluster:
    """See `cluster`.

    Attributes:
        objects: what is declared.
        group: its control group.
    """

    def __init__(
        self, node: Node, objects: Iterable[Object], images: Mapping[str, Image], folder: Path
    ) -> None:
        self.node, self.network, self._images = node, ClusterNetwork(node), images
        self._declared = {key_of(thing): thing for thing in objects}
        self.objects = Objects(self._declared.values())
        self._event = asyncio.Event()
        self._event.set()
        self._busy = False
        self._loop: asyncio.Task[None] | None = None
        self.group = f"holdfast-kubelet-{uuid4().hex[:12]}"
        surroundings = Surroundings(
            node,
            folder,
            self.group,
            self._image,
            self.network.joined,
            self._event.set,
            lambda: self.objects,
            lambda name: dict(links(self.network.services(self.objects), name)),
        )
        self._controllers = Controllers(self.network, surroundings)

    @property
    def pods(self) -> Mapping[tuple[str, str], Pod]:
        """{(namespace, name): pod}, those that are being ended too."""
        return self._controllers.pods

    async def start(self) -> None:
        """Begin to start what is declared."""
        await self.network.start()
        self._loop = asyncio.create_task(self._keep(), name="cluster")

    async def stop(self) -> None:
        """End everything at once."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait([self._loop])
        self.network.stop()
        await self._controllers.stop()

    def apply(self, objects: Iterable[Object]) -> None:
        """Declare further objects, or others in place of those of the same names."""
        self._declared.update((key_of(thing), thing) for thing in objects)
        self._event.set()

    def delete(self, *keys: Key) -> None:
        """Take objects back."""
        for key in keys:
            del self._declared[key]
        self._event.set()

    def of(self, workload: str) -> list[Pod]:
        """Return the pods of a workload that are not being ended, in order of their names."""
        found = [p for p in self.pods.values() if p.origin.name == workload and not p.ending]
        return sorted(found, key=lambda pod: pod.name)

    async def ready(self, timeout_s: float = 120.0) -> None:
        """Return when `is_ready`.

        Raises:
            NotReady: one has failed, or the time is over.
        """
        await self.until(self.is_ready, timeout_s)

    async def until(self, holds: Callable[[], bool], timeout_s: float) -> None:
        """Return when something holds. Raises NotReady."""
        give_up = time.monotonic() + timeout_s
        while not holds():
            assert self._loop is not None
            if self._loop.done():
                self._loop.result()
            if self._controllers.lost(self.objects) or time.monotonic() > give_up:
                raise NotReady(self.told())
            await asyncio.sleep(_POLL_S)

    def told(self) -> str:
        """Return what has become of each pod, and the end of what it said."""
        lines: list[str] = []
        for (namespace, name), pod in sorted(self.pods.items()):
            state = "ready" if pod.ready else "ending" if pod.ending else pod.phase
            lines.append(f"{namespace}/{name} {pod.address} is {state}: {pod.reason}")
            lines += [f"  {at_s:6.2f} s  {what}" for at_s, what in pod.events[-12:]]
            if not pod.ready:
                lines += [f"    {line}" for line in self.log(pod).splitlines()[-12:]]
        return "\n".join(lines)

    def log(self, pod: Pod) -> str:
        """Return what the containers of a pod have said."""
        found = [c.log.read_text() for c in pod.containers.values() if c.log.exists()]
        return "".join(found)

    async def guest(self, namespace: str, name: str, labels: dict[str, str]) -> str:
        """Put a pod without processes into a namespace; return its network, to ask from there."""
        network = await self.network.add_guest(namespace, name, labels)
        await self._update()
        return network

    async def reaches(self, network: str, host: str, port: int) -> bool:
        """Return whether a connection comes to an address from a network, listened to or not."""
        return await reaches(self.node, network, host, port)

    def client(self, network: str, host: str, port: int) -> Client:
        """Return who sends requests to an address from a network."""
        return Client(f"http://{host}:{port}", network=FromNetwork(self.node, network))

    def address_of(self, name: str) -> str:
        """Return where a name leads, such as `front.small.svc.cluster.local`."""
        return self.network.names()[name][0]

    async def _keep(self) -> None:
        """Do what follows, whenever something has changed."""
        while True:
            await self._event.wait()
            self._event.clear()
            self._busy = True
            self.objects = Objects(self._declared.values())
            self._controllers.step(self.objects)
            await self._update()
            self._busy = False

    async def _update(self) -> None:
        seen = [pod.seen() for pod in self.pods.values() if not pod.over]
        await self.network.update(self.objects, seen)

    def is_ready(self) -> bool:
        """Whether all Jobs are done and all workloads have all their new pods ready."""
        settled = not self._event.is_set() and not self._busy
        return settled and self._controllers.ready(self.objects)

    def _image(self, name: str) -> Image:
        for part, image in self._images.items():
            if part in name:
                return image
        raise NotStartable(f"there is no image {name}")
