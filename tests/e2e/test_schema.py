"""Schemathesis over the whole OpenAPI document, through the gateway."""

import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import Server

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "ignored_auth",
)


def test_no_generated_request_gets_a_server_error(server: Server, tmp_path: Path) -> None:
    """Every answer is one that the document describes, whatever is sent."""
    command = [
        str(Path(sys.executable).with_name("st")),
        "run",
        f"http://127.0.0.1:{server.port}/openapi.json",
        "--header",
        f"Authorization: Bearer {server.token}",
        "--checks",
        ",".join(CHECKS),
        "--phases",
        "examples,coverage,fuzzing",
        "--max-examples",
        "30",
        "--seed",
        "20261122",
        "--continue-on-failure",
        "--no-color",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=500)

    assert ran.returncode == 0, ran.stdout[-8_000:] + ran.stderr[-2_000:]
    assert "Tested: 7" in ran.stdout, ran.stdout[-3_000:]
