"""Controllers: they have as many pods as is declared, made from what is declared now."""

import asyncio
import time

from tests.delivery.kubelet.manifests import Key, Object, Objects
from tests.delivery.kubelet.network import ClusterNetwork
from tests.delivery.kubelet.pod import BACK_OFF_MAX_S, BACK_OFF_S, Origin, Pod, Surroundings
from tests.delivery.kubelet.rollout import Member, template_hash
from tests.delivery.kubelet.workloads import KINDS, next_step, pod_names, pod_of, replicas_of


class Controllers:
    """Those of StatefulSets, Jobs and Deployments. Deployments wait until all Jobs are done.

    Attributes:
        pods: {(namespace, name): pod}, those that are being ended too.
    """

    def __init__(self, network: ClusterNetwork, surroundings: Surroundings) -> None:
        self._network, self._surroundings = network, surroundings
        self.pods: dict[tuple[str, str], Pod] = {}
        self._done: set[tuple[Key, str]] = set()
        self._due: dict[tuple[Key, int], float] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def step(self, objects: Objects) -> None:
        """Begin and end the pods that are next."""
        for name, pod in list(self.pods.items()):
            if pod.ending and pod.over:
                del self.pods[name]
            elif pod.over and pod.origin.kind != "Job":
                self._end(pod)  # evicted: another one takes its place
        for key, workload in objects.of(*KINDS):
            if key.kind == "Job":
                self._step_job(key, workload)
            elif key.kind == "StatefulSet" or not self._jobs_under_way(objects):
                self._step_workload(key, workload, objects)
        for pod in self.pods.values():
            if objects.find(pod.origin.kind, pod.namespace, pod.origin.name) is None:
                self._end(pod)

    def ready(self, objects: Objects) -> bool:
        """Whether all Jobs are done, and all workloads have all their new pods ready."""
        if self._jobs_under_way(objects):
            return False
        for key, workload in objects.of("StatefulSet", "Deployment"):
            template, own = template_hash(workload["spec"]["template"]), self._own(key)
            if any(pod.origin.template != template or not pod.ready for pod in own):
                return False
            if len(own) != replicas_of(workload, objects):
                return False
        return True

    def lost(self, objects: Objects) -> bool:
        """Whether a Job's last try has failed. Raises what made a pod's own task fail."""
        for pod in self.pods.values():
            if pod.task is not None and pod.task.done() and not pod.task.cancelled():
                pod.task.result()
        return any(
            sum(pod.phase == "Failed" for pod in self._own(key)) > _retries(job)
            for key, job in objects.of("Job")
        )

    async def stop(self) -> None:
        """End all pods at once."""
        await asyncio.gather(*(pod.end(0) for pod in self.pods.values()))
        if self._ending:
            await asyncio.wait(self._ending)

    def _step_workload(self, key: Key, workload: Object, objects: Objects) -> None:
        own = self._own(key)
        members = [Member(p.name, p.origin.template, p.ready) for p in own if not p.ending]
        ending = [pod.name for pod in own if pod.ending]
        step = next_step(workload, replicas_of(workload, objects), members, ending)
        for name in step.delete:
            self._end(self.pods[key.namespace, name])
        self._create(key, workload, step.create)

    def _step_job(self, key: Key, job: Object) -> None:
        template = template_hash(job["spec"]["template"])
        if (key, template) in self._done:
            return
        own = self._own(key)
        for pod in own:
            if pod.origin.template != template:
                self._end(pod)
        own = [pod for pod in own if pod.origin.template == template]
        if any(pod.phase == "Succeeded" for pod in own):
            self._done.add((key, template))
            self._surroundings.changed()
        elif all(pod.phase == "Failed" for pod in own) and len(own) <= _retries(job):
            self._retry(key, job, len(own))

    def _retry(self, key: Key, job: Object, failed: int) -> None:
        """Create a Job's next pod, later each time."""
        now = time.monotonic()
        pause_s = min(BACK_OFF_S * 2 ** (failed - 1), BACK_OFF_MAX_S) if failed else 0.0
        due = self._due.setdefault((key, failed), now + pause_s)
        if now >= due:
            self._create(key, job, 1)
        else:
            asyncio.get_running_loop().call_later(due - now, self._surroundings.changed)

    def _create(self, key: Key, workload: Object, count: int) -> None:
        template = template_hash(workload["spec"]["template"])
        taken = {name for namespace, name in self.pods if namespace == key.namespace}
        for name in pod_names(workload, template, taken, count):
            origin = Origin(key.kind, key.name, template)
            made, address = pod_of(workload, name), self._network.address()
            pod = Pod((key.namespace, name), made, address, origin, self._surroundings)
            self.pods[key.namespace, name] = pod
            pod.start()
            self._surroundings.changed()

    def _end(self, pod: Pod) -> None:
        if not pod.ending:
            task = asyncio.create_task(pod.end())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def _own(self, key: Key) -> list[Pod]:
        """Return the pods of a workload, those that are being ended too."""
        return [
            pod
            for pod in self.pods.values()
            if Key(pod.origin.kind, pod.namespace, pod.origin.name) == key
        ]

    def _jobs_under_way(self, objects: Objects) -> bool:
        return any(
            (key, template_hash(job["spec"]["template"])) not in self._done
            for key, job in objects.of("Job")
        )


def _retries(job: Object) -> int:
    """Return how many times a Job's pod may fail and be tried again."""
    return int(job["spec"].get("backoffLimit", 6))
