"""What all tests share."""

import signal

from hypothesis import settings

# Time limits of single examples measure the machine, not the code.
settings.register_profile("holdfast", deadline=None)
settings.load_profile("holdfast")

# A shell's background job ignores Ctrl-C, and hands that on to all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
