"""Models: the typed data of messages, bodies and answers."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Typed, immutable data.

    Unknown fields are ignored here, so that a letter of a newer sender is not poison;
    HTTP bodies are checked by `dispatch` with unknown fields forbidden.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_bytes="base64")
