"""A test kubelet: it reads Kubernetes objects and starts every pod for real, on this machine.

What is Kubernetes's own (which endpoints a Service has, what a policy allows, when a probe has
failed, which pod a roll-out replaces next) are pure functions here; thin runners act on what they
say. It has no API server and no admission: objects are handed over as they are in the files.

It needs Linux and root, and says so where that is missing.
"""
