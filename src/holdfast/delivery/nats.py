"""NATS: the configuration of its servers."""

from holdfast.delivery.plan import NATS, NATS_MONITOR, NATS_ROUTES, PORTS, Plan
from holdfast.delivery.values import NATS_NODES


def nats_conf(plan: Plan) -> str:
    """Return `nats.conf` of a cluster whose servers are `nats-0`, `nats-1` and so on.

    `POD_NAME` in a server's environment is its name.
    """
    routes = "\n".join(f"    nats://nats-{n}.nats:{NATS_ROUTES}" for n in range(NATS_NODES))
    return f"""\
server_name: $POD_NAME
listen: "0.0.0.0:{PORTS[NATS]}"
http: "0.0.0.0:{NATS_MONITOR}"
max_payload: 8MB
lame_duck_duration: 30s
lame_duck_grace_period: 5s
jetstream {{
  store_dir: /data
  max_mem: 0
}}
cluster {{
  name: "{plan.system.name}"
  listen: "0.0.0.0:{NATS_ROUTES}"
  routes: [
{routes}
  ]
}}
"""
