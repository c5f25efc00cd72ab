"""One private machine inside this one: network, mounts and processes of its own.

Everything is in namespaces whose first process reads from this one. When this process ends, in
whatever way, that one reads the end and ends too; and the kernel ends and removes all that was
in them. The machine around it is not touched.
"""

import asyncio
import ctypes
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GATEWAY = "169.254.1.1"
SERVICE_NET = "10.96.0.0/16"
_CLONE_NEWNET = 0x40000000
_TOOLS = ("bwrap", "nft", "ip", "nsenter", "unshare", "setpriv")
_SET_UP = f"""
mount -t tmpfs -o mode=755 none /run
mkdir -p /run/netns
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
ip route add local {SERVICE_NET} dev lo
"""


class NoNode(AssertionError):
    """This machine cannot hold one."""


def needs_root() -> None:
    """Say what is missing, if something is: the tests that need it fail, and are not skipped.

    Raises:
        NoNode: this is not Linux, or not root.
    """
    if not hasattr(os, "geteuid") or not Path("/proc/self/ns").exists():
        raise NoNode("the test kubelet needs Linux: network namespaces, nftables, cgroups")
    if os.geteuid() != 0:
        raise NoNode("the test kubelet needs root: run `sudo make deploy-test`")


def overlay_of(tools: Path) -> str:
    """Return shell commands which put unpacked packages over /usr and /etc, for a namespace."""
    return "".join(
        f"mount -t overlay overlay -o lowerdir={tools}/{name}:/{name} /{name}\n"
        for name in ("usr", "etc")
        if (tools / name).exists()
    )


class Node:
    """The machine that pods run on.

    Args:
        tools: packages that are unpacked there, beside those that are installed.
    """

    def __init__(self, tools: Path) -> None:
        self._tools = tools
        self._holder: asyncio.subprocess.Process | None = None
        self.first = 0

    async def start(self) -> None:
        """Make it.

        Raises:
            NoNode: this machine cannot.
        """
        needs_root()
        check = f"for tool in {' '.join(_TOOLS)}; do command -v $tool >/dev/null || exit 3; done\n"
        script = "set -e\n" + overlay_of(self._tools) + check + _SET_UP + "echo ready\nexec cat"
        words = ["--net", "--mount", "--pid", "--fork", "--mount-proc", "--propagation", "private"]
        self._holder = await asyncio.create_subprocess_exec(
            *("unshare", *words, "--kill-child", "sh", "-c", script),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert self._holder.stdout and self._holder.stderr
        if await self._holder.stdout.readline() != b"ready\n":
            said = (await self._holder.stderr.read()).decode().strip()
            raise NoNode(f"no node on this machine; `make deploy-test` fetches its tools: {said}")
        self.first = children_of(self._holder.pid)[0]

    async def stop(self) -> None:
        """End all that runs on it."""
        if self._holder is not None:
            assert self._holder.stdin is not None
            self._holder.stdin.close()
            await self._holder.wait()

    def entry(self, network: str = "") -> list[str]:
        """Return the words before a command that runs on it; in a network namespace of its."""
        net = f"/proc/{self.first}/root/run/netns/{network}" if network else ""
        return [
            *("nsenter", "--target", str(self.first), "--mount", "--pid"),
            f"--net={net or f'/proc/{self.first}/ns/net'}",
            "--",
        ]

    async def run(self, *words: str, stdin: str = "", network: str = "") -> str:
        """Run a command to its end; return what it prints.

        Raises:
            RuntimeError: it failed.
        """
        child = await asyncio.create_subprocess_exec(
            *self.entry(network),
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await child.communicate(stdin.encode())
        if child.returncode:
            raise RuntimeError(f"{' '.join(words)}: {said.decode().strip()}\n{stdin}")
        return said.decode()

    async def add_network(self, name: str, address: str) -> None:
        """Make a network namespace with one address, routed through the node."""
        link = f"v{address.replace('.', '')[-12:]}"
        await self.run(
            *("sh", "-euc"),
            f"""
            ip netns add {name}
            ip link add {link} type veth peer name eth0 netns {name}
            ip addr add {GATEWAY}/32 dev {link}
            ip link set {link} up
            ip route add {address}/32 dev {link}
            ip -n {name} -batch - <<END
            addr add {address}/32 dev eth0
            link set eth0 up
            link set lo up
            route add {GATEWAY} dev eth0
            route add default via {GATEWAY}
            END
            """.replace("\n            ", "\n"),
        )

    async def remove_network(self, name: str) -> None:
        """Take one away; whoever still has a socket in it keeps it as long."""
        await self.run("ip", "netns", "delete", name)

    @contextmanager
    def inside(self, network: str = "") -> Iterator[None]:
        """Sockets that are made meanwhile belong to the node's network, or one of its pods'.

        Nothing may be awaited meanwhile: it holds for this thread.
        """
        libc = ctypes.CDLL(None, use_errno=True)
        where = f"root/run/netns/{network}" if network else "ns/net"
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        other = os.open(f"/proc/{self.first}/{where}", os.O_RDONLY)
        try:
            if libc.setns(other, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            yield
        finally:
            assert libc.setns(own, _CLONE_NEWNET) == 0
            os.close(own)
            os.close(other)

    async def connected(self, network: str, host: str, port: int) -> socket.socket:
        """Return a connection from a network to an address. Raises OSError."""
        made = self.socket(network)
        try:
            await asyncio.get_running_loop().sock_connect(made, (host, port))
        except BaseException:  # raised again
            made.close()
            raise
        return made

    def socket(self, network: str = "", kind: int = socket.SOCK_STREAM) -> socket.socket:
        """Return a socket of a network."""
        with self.inside(network):
            made = socket.socket(socket.AF_INET, kind)
        made.setblocking(False)
        return made


def children_of(pid: int) -> list[int]:
    """Return the processes that one has started; none, if it has ended."""
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
