"""The demo: orders over HTTP, a SIGKILL half way, and the books afterwards."""

from shop.demo.main import main

__all__ = ["main"]
