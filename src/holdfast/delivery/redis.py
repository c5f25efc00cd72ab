"""Redis: the configuration of the server that keeps rate limits, which is Valkey.

Valkey takes the user from the URI of a certificate, so that there is no password, and looks by
itself whether its files are new ones.
"""

from holdfast.contract.spiffe import spiffe_id
from holdfast.delivery.identities import IDENTITY
from holdfast.delivery.plan import PORTS, REDIS, Plan
from holdfast.runtime.redis_server import rights

LOOK_S = 10
"""So often the files of the identity are looked at."""
CONF = "/etc/redis/redis.conf"


def redis_conf(plan: Plan) -> str:
    """Return `redis.conf`: TLS alone, and a user for each workload that counts.

    No user has a password, so that nobody becomes another one than his certificate names. The
    server's own may ask whether it answers.
    """
    system = plan.system.name
    counting = "\n".join(
        f"user {spiffe_id(system, w.name)} on resetpass {rights(system)}"
        for w in plan.workloads
        if w.limits
    )
    return f"""\
port 0
tls-port {PORTS[REDIS]}
tls-cert-file {IDENTITY}/tls.crt
tls-key-file {IDENTITY}/tls.key
tls-ca-cert-file {IDENTITY}/ca.crt
tls-auth-clients yes
tls-auth-clients-user URI
tls-protocols TLSv1.3
tls-session-caching no
tls-auto-reload-interval {LOOK_S}
save ""
appendonly no
maxmemory 64mb
maxmemory-policy volatile-ttl
user default off resetpass resetkeys resetchannels -@all
user {spiffe_id(system, REDIS)} on resetpass resetkeys resetchannels -@all +ping
{counting}
"""


def ping() -> list[str]:
    """Return the words of the command that asks whether it answers, as itself."""
    files = {"cert": "tls.crt", "key": "tls.key", "cacert": "ca.crt"}
    told = [word for name, file in files.items() for word in (f"--{name}", f"{IDENTITY}/{file}")]
    return ["valkey-cli", "-e", "--tls", *told, "ping"]
