#!/usr/bin/python3
"""Stands for the OpenTelemetry Collector: takes spans, counts them, and says that it is well."""

import http.server
import socketserver
import threading

TAKEN = 0


class Handler(http.server.BaseHTTPRequestHandler):
    """Takes what is posted."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        global TAKEN
        TAKEN += len(self.rfile.read(int(self.headers["content-length"])))
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(str(TAKEN).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        pass


class Server(socketserver.ThreadingTCPServer):
    """One port of it."""

    daemon_threads = allow_reuse_address = True


health = Server(("", 13133), Handler)
threading.Thread(target=health.serve_forever, daemon=True).start()
Server(("", 4318), Handler).serve_forever()
