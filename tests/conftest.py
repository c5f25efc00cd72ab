"""What all tests share."""

from hypothesis import settings

# Time limits of single examples measure the machine, not the code.
settings.register_profile("holdfast", deadline=None)
settings.load_profile("holdfast")
