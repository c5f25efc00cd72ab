"""A container of a pod: started, probed, started again, and ended."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.delivery.kubelet.cgroups import Limits
from tests.delivery.kubelet.containers import Launch, Mount
from tests.delivery.kubelet.images import Image
from tests.delivery.kubelet.manifests import Object
from tests.delivery.kubelet.node import Node
from tests.delivery.kubelet.prober import ask
from tests.delivery.kubelet.probes import Health, Streak, Timing, probes_of
from tests.delivery.kubelet.sandbox import Place, Sandbox


class Container:
    """One container.

    Args:
        declared: of the pod's spec.
        place: its folder gets one more for each time that it is started.
        told: hears what happens.

    Attributes:
        restarts: how many times it was started again.
        reason: why it ended last.
    """

    def __init__(
        self,
        declared: Object,
        launch: Launch,
        image: Image,
        mounts: list[Mount],
        place: Place,
        ports: dict[str, tuple[str, int]],
        address: str,
        node: Node,
        told: Callable[[str], None],
    ) -> None:
        self.declared, self._launch, self.image, self._mounts = declared, launch, image, mounts
        self._place, self._ports, self._address, self._node = place, ports, address, node
        self._told = told
        self.name: str = declared["name"]
        self.log = place.folder / "log"
        self.restarts = -1
        self.health = Health(started=False, ready=False)
        self.reason = ""
        self._limits = Limits(place.group, f"{place.network}-{self.name}")
        self._sandbox: Sandbox | None = None

    async def run(self) -> int:
        """Start it, probe it until it ends, and return its exit code."""
        self.restarts += 1
        folder = self._place.folder / str(self.restarts)
        folder.mkdir(parents=True)
        self._sandbox = Sandbox(self._node, self._launch, self._limits, self.log)
        place = replace(self._place, folder=folder)
        await self._sandbox.start(self.image, self._mounts, place)
        self.health = Health.at_start(self.declared)
        self._told(f"{self.name} is started")
        async with asyncio.TaskGroup() as group:
            prober = group.create_task(self._probe_all())
            code = await self._sandbox.wait()
            prober.cancel()
        self.health = Health(started=False, ready=False)
        memory = self._sandbox.out_of_memory
        self.reason = "OOMKilled" if memory else f"exit code {code}"
        self._told(f"{self.name} has ended: {self.reason}")
        return code

    @property
    def pid(self) -> int:
        """Its program's process, as this machine knows it; 0: it does not run."""
        return self._sandbox.pid if self._sandbox is not None else 0

    async def end(self, grace_s: float) -> None:
        """End it as the kubelet does: its hook, SIGTERM to the program itself, SIGKILL later."""
        if self._sandbox is None or not self._sandbox.pid:
            return
        ended = asyncio.create_task(self._sandbox.wait())
        try:
            async with asyncio.timeout(grace_s):
                await self._stop_hook(ended)
                self._sandbox.signal(signal.SIGTERM)
                await asyncio.shield(ended)
        except TimeoutError:
            self._told(f"{self.name} is killed: it has not ended within {grace_s:g} s")
            self.kill()
        await ended

    def kill(self) -> None:
        """End it at once."""
        if self._sandbox is not None:
            self._sandbox.signal(signal.SIGKILL)

    async def inside(self, words: Sequence[str], timeout_s: float = 10.0) -> bool:
        """Run a command in it; return whether that went well."""
        return self._sandbox is not None and await self._sandbox.run(words, timeout_s)

    async def _stop_hook(self, ended: asyncio.Task[int]) -> None:
        hook = (self.declared.get("lifecycle") or {}).get("preStop") or {}
        if "sleep" in hook:
            await asyncio.wait([ended], timeout=hook["sleep"]["seconds"])
        elif hook:
            patient = {"timeoutSeconds": 3600, **hook}
            await ask(patient, self._ports, self._address, self._node, self.inside)

    async def _probe_all(self) -> None:
        """Ask the start-up probe until it has passed, and then the others as long as it runs."""
        if not self.health.started:
            await self._probe("startupProbe", self.declared["startupProbe"])
        async with asyncio.TaskGroup() as group:
            for kind, probe in probes_of(self.declared, started=True).items():
                group.create_task(self._probe(kind, probe))

    async def _probe(self, kind: str, probe: Object) -> None:
        timing, streak = Timing.of(probe), Streak()
        await asyncio.sleep(timing.delay_s)
        while True:
            well = await ask(probe, self._ports, self._address, self._node, self.inside)
            streak = streak.seen(well, timing)
            before, self.health = self.health, self.health.after(kind, streak, self.declared)
            if self.health != before:
                self._told(f"{self.name}: {kind} {'holds' if well else 'fails'}")
            if self.health.restart:
                await self._restart(probe)
            if kind == "startupProbe" and self.health.started:
                return
            await asyncio.sleep(timing.period_s)

    async def _restart(self, probe: Object) -> None:
        self._told(f"{self.name} has to be restarted: {self.health.restart}")
        await self.end(float(probe.get("terminationGracePeriodSeconds", 30)))
