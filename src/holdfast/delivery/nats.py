"""NATS: the configuration of its servers, and how they take up certificates that are new."""

from pathlib import PurePosixPath

from holdfast.communication import LOOPBACK
from holdfast.delivery.identities import IDENTITY
from holdfast.delivery.plan import NATS, NATS_MONITOR, NATS_NODES, NATS_ROUTES, PORTS, Plan
from holdfast.runtime.nats_settings import nats_accounts, nats_tls

_FILES = [PurePosixPath(IDENTITY, name) for name in ("tls.crt", "tls.key", "ca.crt")]
LOOK_S = 10
"""So often the files of the identity are looked at."""
TAKEN_S = 2
"""How long a server may take to read them."""


def nats_conf(plan: Plan) -> str:
    """Return `nats.conf` of a cluster whose servers are `nats-0`, `nats-1` and so on.

    `POD_NAME` in a server's environment is its name. Who is no server of it becomes none by a
    certificate of another workload: their names are looked at, too.
    """
    routes = "\n".join(f"    nats://nats-{n}.nats:{NATS_ROUTES}" for n in range(NATS_NODES))
    certificate, key, trusted = _FILES
    return f"""\
server_name: $POD_NAME
{_server()}lame_duck_duration: 30s
lame_duck_grace_period: 5s
cluster {{
  name: "{plan.system.name}"
  listen: "0.0.0.0:{NATS_ROUTES}"
  routes: [
{routes}
  ]
  tls {{
    cert_file: "{certificate}"
    key_file: "{key}"
    ca_file: "{trusted}"
    verify_cert_and_check_known_urls: true
    min_version: "1.3"
    timeout: 5
  }}
}}
{_who(plan)}"""


def one_nats_conf(plan: Plan) -> str:
    """Return `nats.conf` of one server alone."""
    return _server() + _who(plan)


def _server() -> str:
    return f"""\
listen: "0.0.0.0:{PORTS[NATS]}"
http: "0.0.0.0:{NATS_MONITOR}"
max_payload: 8MB
jetstream {{
  store_dir: /data
  max_mem: 0
}}
"""


def _who(plan: Plan) -> str:
    return nats_tls(*_FILES) + nats_accounts(plan.system.graph())


def serve_sh() -> str:
    """Return what runs a server, and tells it when the files of its identity have changed.

    It reads them when it is told to, and never looks by itself; whether it could, its monitor says.
    If not, it is told again and again.
    """
    return f"""\
nats-server --config /etc/nats/nats.conf &
server=$!
told=
trap 'told=yes; kill -TERM "$server"' TERM INT
loaded() {{
  wget -q -O - http://{LOOPBACK}:{NATS_MONITOR}/varz 2>/dev/null | grep '"config_load_time"'
}}
looked() {{
  cat {IDENTITY}/tls.crt {IDENTITY}/tls.key {IDENTITY}/ca.crt 2>/dev/null | cksum
}}
(
  before=$(looked)
  while sleep {LOOK_S}; do
    now=$(looked)
    [ "$now" != "$before" ] || continue
    then=$(loaded) || then=
    kill -HUP "$server"
    sleep {TAKEN_S}
    if [ -n "$then" ] && [ "$then" = "$(loaded)" ]; then
      echo "the newest files in {IDENTITY} are not in use; those before are" >&2
    else
      before=$now
    fi
  done
) &
# A signal ends the wait before the server has ended: then it goes on.
while
  code=0
  told=
  wait "$server" || code=$?
  [ -n "$told" ] && [ "$code" -gt 128 ]
do
  :
done
exit "$code"
"""
