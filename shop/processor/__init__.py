"""A card processor: a third party, which knows neither shop nor Holdfast.

    python -m shop.processor --port 8090 --ledger cards.db

It has a process and a ledger of its own and honours Idempotency-Key; its test cards misbehave in
every way that a network can.
"""
