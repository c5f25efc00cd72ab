"""nginx as a proxy with nothing else on: becomes it, with a configuration that is made here.

It is one process, and keeps this one's number, so that its CPU is counted; a child that waits until
it serves announces it, and ends.
"""

import argparse
import json
import os
import shutil
import socket
import tempfile
import time
from pathlib import Path

from holdfast.runtime.children import free_port

START_S = 30.0

CONFIGURATION = """
daemon off;
master_process off;
error_log stderr crit;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    upstream backend {{ server {backend}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen {address};
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


def main() -> None:
    """Become nginx."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upstream", help="http://host:port")
    backend = parser.parse_args().upstream.removeprefix("http://")
    program = shutil.which("nginx")
    assert program is not None, "nginx is not installed"
    port = free_port()
    address = f"127.0.0.1:{port}"
    folder = tempfile.mkdtemp()  # some empty folders, which stay: who becomes nginx cleans nothing
    path = Path(folder, "nginx.conf")
    path.write_text(CONFIGURATION.format(folder=folder, backend=backend, address=address))
    if os.fork() == 0:
        _wait_until_served(port)
        print(json.dumps({"url": f"http://{address}"}), flush=True)
        os._exit(0)
    os.execv(program, [program, "-p", folder, "-c", str(path)])


def _wait_until_served(port: int) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.01)
        else:
            return
    os._exit(1)


if __name__ == "__main__":
    main()
