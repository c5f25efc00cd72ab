"""A card processor: a third party with its own process and ledger, which knows no shop.

    python -m shop.processor --port 8090 --ledger cards.db

It honours Idempotency-Key, and its test cards misbehave in every way that a network can.
"""
