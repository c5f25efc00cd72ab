"""Models: the typed data of messages, bodies and answers."""

from typing import Any

from pydantic import BaseModel, ConfigDict

WIRE = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="strings")
"""What JSON has no form for: bytes travel as base64, floats that are no numbers as their names."""

JsonObject = dict[str, Any]
"""An object as it was read from JSON, whose fields nobody has declared."""


class Model(BaseModel):
    """Typed, immutable data.

    Unknown fields are ignored here, so that a letter of a newer sender is not poison;
    HTTP bodies are checked by `dispatch` with unknown fields forbidden.
    """

    model_config = WIRE | ConfigDict(frozen=True, extra="ignore")
