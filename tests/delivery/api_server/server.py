"""A stand-in of the Kubernetes API server, good enough for the real helm and kubectl.

It stores, checks by strict schemas, keeps who manages which field, and lets workloads get ready, or
never. It authorises nothing, admits everything, and runs no pod.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

from tests.delivery.api_server.protobuf import MAGIC, object_of
from tests.delivery.api_server.resources import Discovery, Kind
from tests.delivery.api_server.store import Key, Object, Refused, Store

WATCHED_S = 5.0
"""How long a watch stays open while nothing happens; clients ask again."""


class ApiServer:
    """A server that runs.

    Attributes:
        store: its objects.
        requests: what was asked, as `METHOD path?query`, without discovery.
    """

    def __init__(self, store: Store, discovery: Discovery, port: int) -> None:
        self.store, self.discovery = store, discovery
        self.url = f"http://127.0.0.1:{port}"
        self.requests: list[str] = []

    def kubeconfig(self, folder: Path, namespace: str = "default") -> Path:
        """Write a configuration for clients into a folder."""
        file = folder / "kubeconfig"
        context = {"cluster": "here", "user": "me", "namespace": namespace}
        file.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "here",
                    "clusters": [{"name": "here", "cluster": {"server": self.url}}],
                    "contexts": [{"name": "here", "context": context}],
                    "users": [{"name": "me", "user": {}}],
                }
            )
        )
        return file

    def objects(self, plural: str, namespace: str = "") -> dict[str, Object]:
        """Return {name: object} of a resource."""
        found = self.store.all(plural, namespace)
        return {item["metadata"]["name"]: item for item in found}


@contextmanager
def api_server(
    *,
    custom: list[str] | None = None,
    judge: Callable[[Object], list[str]] = lambda item: [],
    namespaces: tuple[str, ...] = ("default", "kube-system"),
) -> Iterator[ApiServer]:
    """Run a server until the block ends.

    Args:
        custom: `apiVersion/Kind` of custom kinds.
        judge: returns why an object is refused; the answer is then 422.
    """
    store, discovery = Store(judge), Discovery(custom or [])
    for name in namespaces:
        item = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        store.create(Kind("v1", "Namespace"), ("namespaces", "", name), item, "", dry=False)
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    http.daemon_threads = True
    server = ApiServer(store, discovery, http.server_address[1])
    http.of = server  # type: ignore[attr-defined]  # what the handler finds its server by
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a head and its body are two writes: 40 ms for each answer

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing; `requests` has it."""

    def _serve(self) -> None:
        server: ApiServer = self.server.of  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        size = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(size)
        try:
            found = server.discovery.answer(parts.path) if self.command == "GET" else None
            if found is not None:
                self._answer(200, found)
                return
            server.requests.append(f"{self.command} {self.path}")
            kind, namespace, name = _target(server.discovery, parts.path)
            if self.command == "GET" and not name and query.get("watch") in ("true", "1"):
                self._watch(server.store, kind, namespace, query)
                return
            sent = _sent(body, self.headers.get("content-type", "")) if body else {}
            self._answer(
                *_do(server.store, self.command, kind, namespace, name, query, sent, self.headers)
            )
        except Refused as refused:
            self._answer(refused.code, _status(refused))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _answer(self, code: int, found: Any) -> None:
        body = json.dumps(found).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _watch(self, store: Store, kind: Kind, namespace: str, query: dict[str, str]) -> None:
        """Tell what happens to objects, after those that are there if they are asked for."""
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        after = int(query.get("resourceVersion") or 0)
        if query.get("sendInitialEvents") == "true":
            after = store.version
            for item in _listed(store, kind, namespace, query):
                self._chunk({"type": "ADDED", "object": item})
            mark = {"k8s.io/initial-events-end": "true"}
            metadata = {"resourceVersion": str(after), "annotations": mark}
            end = {"apiVersion": kind.version, "kind": kind.kind, "metadata": metadata}
            self._chunk({"type": "BOOKMARK", "object": end})
        try:
            for _, what, (plural, space, _), item in store.after(after, WATCHED_S):
                if plural == kind.plural and namespace in ("", space) and _chosen(item, query):
                    self._chunk({"type": what, "object": item})
            self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client has seen enough

    def _chunk(self, event: dict[str, Any]) -> None:
        body = json.dumps(event).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
        self.wfile.flush()


def _target(discovery: Discovery, path: str) -> tuple[Kind, str, str]:
    """Return (kind, namespace, name) that a path is about; "" where it says none."""
    for kind in discovery.kinds:
        if not path.startswith(kind.prefix + "/"):
            continue
        rest = path.removeprefix(kind.prefix + "/").split("/")
        namespace = ""
        if kind.namespaced and rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        if rest[0] == kind.plural and len(rest) <= 2 + (rest[-1] == "status"):
            return kind, namespace, rest[1] if len(rest) > 1 else ""
    raise Refused(404, "NotFound", "the server could not find the requested resource")


def _sent(body: bytes, kind: str) -> Any:
    if body.startswith(MAGIC):
        try:
            return object_of(body)
        except ValueError as error:
            raise Refused(415, "UnsupportedMediaType", str(error)) from error
    return yaml.safe_load(body) if "yaml" in kind else json.loads(body)


def _do(
    store: Store,
    method: str,
    kind: Kind,
    namespace: str,
    name: str,
    query: dict[str, str],
    sent: Any,
    headers: Any,
) -> tuple[int, Any]:
    manager = query.get("fieldManager") or headers.get("user-agent", "").split("/")[0]
    dry = "dryRun" in query
    key: Key = (kind.plural, namespace, name)
    if method == "GET" and not name:
        items = _listed(store, kind, namespace, query)
        return 200, {
            "apiVersion": kind.version,
            "kind": f"{kind.kind}List",
            "metadata": {"resourceVersion": str(store.version)},
            "items": items,
        }
    if method == "GET":
        return 200, store.get(key)
    if method == "DELETE":
        return 200, {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Success",
            "details": {"uid": store.delete(key)["metadata"]["uid"]},
        }
    if method == "POST":
        key = (kind.plural, namespace, sent["metadata"]["name"])
        return 201, store.create(kind, key, _in(sent, namespace), manager, dry=dry)
    if method == "PUT":
        return 200, store.replace(kind, key, _in(sent, namespace), manager, dry=dry)
    how = headers.get("content-type", "")
    if "apply-patch" in how:
        force = query.get("force") == "true"
        item, new = store.apply(kind, key, _in(sent, namespace), manager, force=force, dry=dry)
        return 201 if new else 200, item
    strategic = "strategic" in how
    return 200, store.patch(kind, key, sent, manager, strategic=strategic, dry=dry)


def _in(item: Object, namespace: str) -> Object:
    """Return an object as it stands in its namespace."""
    if namespace:
        item["metadata"]["namespace"] = namespace
    return item


def _listed(store: Store, kind: Kind, namespace: str, query: dict[str, str]) -> list[Object]:
    return [item for item in store.all(kind.plural, namespace) if _chosen(item, query)]


def _chosen(item: Object, query: dict[str, str]) -> bool:
    """Whether selectors choose an object, by labels and by its name."""
    wanted = re.search(r"metadata\.name=([^,]+)", query.get("fieldSelector", ""))
    if wanted is not None and item["metadata"]["name"] != wanted[1]:
        return False
    labels = item["metadata"].get("labels") or {}
    rules = re.findall(r"[^,(]+(?:\([^)]*\))?", query.get("labelSelector", ""))
    return all(_fits(rule.strip(), labels) for rule in rules)


def _fits(rule: str, labels: dict[str, str]) -> bool:
    listed = re.fullmatch(r"(\S+) (in|notin) \((.*)\)", rule)
    if listed is not None:
        return (labels.get(listed[1]) in listed[3].split(",")) == (listed[2] == "in")
    compared = re.fullmatch(r"([^!=]+)(=|==|!=)([^=]*)", rule)
    if compared is not None:
        return (labels.get(compared[1]) == compared[3]) == (compared[2] != "!=")
    return (rule.lstrip("!") in labels) == (not rule.startswith("!"))


def _status(refused: Refused) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": refused.message,
        "reason": refused.reason,
        "code": refused.code,
        "details": {"causes": refused.causes},
    }
