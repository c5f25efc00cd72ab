"""The environment variables that Holdfast reads: nothing else spells their names.

Further ones are a process's own settings, `HOLDFAST_<FIELD>` (`runtime.settings`), and those of a
service, `<SERVICE>_<FIELD>` (`system.settings`).
"""

from typing import Final

from holdfast.system.settings import variable_name

OURS: Final = "holdfast"
"""The prefix of a process's own settings."""

OTEL: Final = "otel"
"""The prefix of OpenTelemetry's settings."""

DATABASE_URL: Final = "DATABASE_URL"
"""Where the databases are; `{service}` in it becomes the service's name."""
DATABASE_OWNER_URL: Final = "DATABASE_OWNER_URL"
"""The same databases for the role that owns them: `holdfast migrate` alone needs it."""
DATABASE_POOLED: Final = "DATABASE_POOLED"
"""Whether a pooler in transaction mode stands before them."""
BROKER_URL: Final = "BROKER_URL"
"""What carries letters between processes."""
BROKER_COPIES: Final = "BROKER_COPIES"
"""How many of its servers keep each letter."""
REDIS_URL: Final = "REDIS_URL"
"""Where processes share their rate limits."""
KEYS_URL: Final = "GATEWAY_KEYS_URL"
"""Where the gateway's public keys are; those of further issuers have a number behind it."""
ORIGINS: Final = "GATEWAY_ORIGINS"
"""Where clients reach the gateway; several are separated by commas."""
INTROSPECTION_URL: Final = "GATEWAY_INTROSPECTION_URL"
"""Where the gateway asks about opaque tokens."""
INTROSPECTION_SECRET: Final = "GATEWAY_INTROSPECTION_SECRET"  # noqa: S105  # its name
"""The secret of the client as which it asks."""
CERTIFICATE: Final = variable_name(OURS, "cert")
"""The file of the certificate that says who this process is inside the system."""
KEY: Final = variable_name(OURS, "key")
"""The file of its private key."""
TRUSTED: Final = variable_name(OURS, "ca")
"""The file of the authorities that issue certificates of the system."""
TOKENS_CERTIFICATE: Final = variable_name(OURS, "tokens_cert")
"""The file of the certificate of what signs transaction tokens: of the gateway alone."""
TOKENS_KEY: Final = variable_name(OURS, "tokens_key")
"""The file of its private key."""
PUBLIC_CERTIFICATE: Final = variable_name(OURS, "tls_cert")
"""The file of the certificate that the gateway shows to clients, with those above it."""
PUBLIC_KEY: Final = variable_name(OURS, "tls_key")
"""The file of its private key."""
SHARE_PORT: Final = variable_name(OURS, "share_port")
"""The setting that a supervisor gives to processes which share a port."""


def keys_variable(number: int) -> str:
    """Return the variable that says where the keys of the gateway's nth issuer are, from 1."""
    return KEYS_URL if number == 1 else f"{KEYS_URL}_{number}"


def url_variable(name: str) -> str:
    """Return the variable that says where an External is, or the processes of a service."""
    return variable_name(name, "url")


def database_variable(service: str) -> str:
    """Return the variable that says where one service's database is."""
    return variable_name(service, DATABASE_URL)


def owner_variable(service: str) -> str:
    """Return the variable that says where one service's database is for the role that owns it."""
    return variable_name(service, DATABASE_OWNER_URL)


def file_variable(variable: str) -> str:
    """Return the variable that says which file has the value of another."""
    return f"{variable}_FILE"


def names_database(variable: str) -> bool:
    """Whether a variable says where databases are: all of them, or one service's."""
    return variable.endswith(DATABASE_URL)
