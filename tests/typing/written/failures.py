"""Failures: exceptions with typed fields, given by name."""

from typing import assert_type

from holdfast import Failure
from tests.typing.written.shared import CardDeclined

failure = CardDeclined(reason="limit")
assert_type(failure.reason, str)
assert_type(failure.retry_after_s, int)
assert_type(CardDeclined.status, int)
CardDeclined(reason="limit", retry_after_s=3)

CardDeclined()  # E: reason
CardDeclined("limit")  # E: positional
CardDeclined(reason=1)  # E: reason
CardDeclined(reason="limit", code=1)  # E: code
print(failure.code)  # E: code


class Bad(Failure, status="402"): ...  # E: status


def handle() -> str:
    try:
        raise CardDeclined(reason="limit")
    except CardDeclined as declined:
        return declined.reason
    except Failure as other:
        return str(other.fields()["reason"])
