"""The shop's order flow, written by hand from the usual parts, as a careful team would.

FastAPI, SQLAlchemy's ORM on asyncpg, nats-py with JetStream, an outbox table that is polled, and an
inbox table against duplicates. It does what an order of the shop does, step by step, undoes what
was done when a later step is refused, and loses nothing. It has no idempotency keys, no deadlines,
no retry budget or breaker, no metrics, no traces and no log lines, and inventory is asked for
prices by a function call: all of which the shop has and pays for.
"""
