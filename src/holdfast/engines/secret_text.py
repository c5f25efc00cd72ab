"""The text of a file that holds one secret: a password, the value of a variable."""

from pathlib import Path
from typing import Final

FILE_BYTES_MAX: Final = 65_536
"""Of a file with a secret: the kernel gives no child a longer variable than twice that."""


def read_text(path: str) -> str:
    """Return what a file has, without the line break at its end. Raises OSError, ValueError."""
    with Path(path).open("rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise ValueError(f"it has more than {FILE_BYTES_MAX} bytes")
    if b"\0" in content:
        raise ValueError("it has a NUL, which no variable can hold")
    try:
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as exc:  # its own words would tell a part of the secret
        raise ValueError(f"it is no UTF-8 text (byte {exc.start})") from None
