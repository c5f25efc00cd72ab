"""What payments offers to the others."""

from holdfast import Command, Failure, Undo


class CardDeclined(Failure):
    reason: str


class Charge(Command[None], fails=[CardDeclined]):
    amount_cents: int


class Refund(Undo[Charge]): ...
