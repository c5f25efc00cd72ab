"""The four tables of the protocol, and on Postgres the gate."""

revision = "holdfast_1"
down_revision = None
branch_labels = ("holdfast",)

SQLITE = """
CREATE TABLE IF NOT EXISTS holdfast_edge (
  id INTEGER PRIMARY KEY, sender TEXT NOT NULL, receiver TEXT NOT NULL, lane TEXT NOT NULL,
  events TEXT NOT NULL DEFAULT '', floor BLOB, UNIQUE (sender, receiver, lane)
);
CREATE TABLE IF NOT EXISTS holdfast_message (
  edge INTEGER NOT NULL, id BLOB NOT NULL, state TEXT NOT NULL, kind TEXT NOT NULL,
  due_at INTEGER, tries INTEGER NOT NULL, reached INTEGER NOT NULL, owner BLOB, path TEXT,
  about BLOB, expires_at INTEGER, hash BLOB, body BLOB NOT NULL, answer BLOB, error TEXT,
  topic TEXT, PRIMARY KEY (edge, id)
);
CREATE INDEX IF NOT EXISTS holdfast_message_due ON holdfast_message (due_at)
  WHERE state = 'due';
CREATE INDEX IF NOT EXISTS holdfast_message_kept ON holdfast_message (due_at)
  WHERE state = 'done' AND due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS holdfast_message_owner ON holdfast_message (owner)
  WHERE owner IS NOT NULL;
CREATE INDEX IF NOT EXISTS holdfast_message_topic ON holdfast_message (topic)
  WHERE topic IS NOT NULL;
CREATE INDEX IF NOT EXISTS holdfast_message_dead ON holdfast_message (state)
  WHERE state = 'dead';
CREATE INDEX IF NOT EXISTS holdfast_message_failed ON holdfast_message (state, id)
  WHERE state = 'due' AND error IS NOT NULL;
CREATE TABLE IF NOT EXISTS holdfast_saga (
  id BLOB PRIMARY KEY, type TEXT NOT NULL, version INTEGER NOT NULL, state TEXT NOT NULL,
  input BLOB NOT NULL, key TEXT, error TEXT, started_at INTEGER NOT NULL, ended_at INTEGER,
  UNIQUE (type, key)
);
CREATE INDEX IF NOT EXISTS holdfast_saga_open ON holdfast_saga (type, state, started_at)
  WHERE ended_at IS NULL;
CREATE INDEX IF NOT EXISTS holdfast_saga_ended ON holdfast_saga (ended_at)
  WHERE ended_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS holdfast_saga_parked ON holdfast_saga (id)
  WHERE state = 'parked';
CREATE INDEX IF NOT EXISTS holdfast_saga_failed ON holdfast_saga (id)
  WHERE state = 'failed';
CREATE TABLE IF NOT EXISTS holdfast_step (
  saga BLOB NOT NULL, path TEXT NOT NULL, kind TEXT NOT NULL, outcome BLOB NOT NULL,
  ended_at INTEGER NOT NULL, PRIMARY KEY (saga, path)
) WITHOUT ROWID;
"""
POSTGRES = """
CREATE TABLE IF NOT EXISTS holdfast_edge (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sender text NOT NULL, receiver text NOT NULL,
  lane text NOT NULL, events text NOT NULL DEFAULT '', floor uuid, UNIQUE (sender, receiver, lane)
);
CREATE TABLE IF NOT EXISTS holdfast_message (
  edge int NOT NULL, id uuid NOT NULL, state text NOT NULL, kind text NOT NULL, due_at bigint,
  tries int NOT NULL, reached bool NOT NULL, owner uuid, path text, about uuid, expires_at bigint,
  hash bytea, body bytea NOT NULL, answer bytea, error text, topic text, PRIMARY KEY (edge, id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX IF NOT EXISTS holdfast_message_due ON holdfast_message (due_at)
  WHERE state = 'due';
CREATE INDEX IF NOT EXISTS holdfast_message_kept ON holdfast_message (due_at)
  WHERE state = 'done' AND due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS holdfast_message_owner ON holdfast_message (owner)
  WHERE owner IS NOT NULL;
CREATE INDEX IF NOT EXISTS holdfast_message_topic ON holdfast_message (topic)
  WHERE topic IS NOT NULL;
CREATE INDEX IF NOT EXISTS holdfast_message_dead ON holdfast_message (state)
  WHERE state = 'dead';
CREATE INDEX IF NOT EXISTS holdfast_message_failed ON holdfast_message (state, id)
  WHERE state = 'due' AND error IS NOT NULL;
CREATE TABLE IF NOT EXISTS holdfast_saga (
  id uuid PRIMARY KEY, type text NOT NULL, version int NOT NULL, state text NOT NULL,
  input bytea NOT NULL, key text, error text, started_at bigint NOT NULL, ended_at bigint,
  UNIQUE (type, key)
) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS holdfast_saga_open ON holdfast_saga (type, state, started_at)
  WHERE ended_at IS NULL;
CREATE INDEX IF NOT EXISTS holdfast_saga_ended ON holdfast_saga (ended_at)
  WHERE ended_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS holdfast_saga_parked ON holdfast_saga (id)
  WHERE state = 'parked';
CREATE INDEX IF NOT EXISTS holdfast_saga_failed ON holdfast_saga (id)
  WHERE state = 'failed';
CREATE TABLE IF NOT EXISTS holdfast_step (
  saga uuid NOT NULL, path text NOT NULL, kind text NOT NULL, outcome bytea NOT NULL,
  ended_at bigint NOT NULL, PRIMARY KEY (saga, path)
);
CREATE TABLE IF NOT EXISTS holdfast_gate ();
"""


def upgrade() -> None:
    """Make them. A database that had them before it had revisions keeps them."""
    from alembic import op  # not at the start of every process

    sql = SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRES
    for statement in sql.split(";\n"):
        if statement.strip():
            op.execute(statement)
