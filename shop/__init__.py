"""The reference system: a small shop that takes orders, money and no shortcuts.

Each service is a folder: `messages.py` is what it offers to the others, `tables.py` what it keeps,
`service.py` what it does. `system.py` puts them together. `processor` is somebody else's.
"""
