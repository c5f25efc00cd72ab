"""What every database must do: the parts, joined.

An engine's tests inherit `DatabaseContract` and bring two things: `make`, and `end_transaction`.
"""

from tests.contracts.again import AgainContract
from tests.contracts.computed import ComputedContract
from tests.contracts.message_table import MessageContract
from tests.contracts.saga_table import SagaContract
from tests.contracts.transactions import TransactionContract
from tests.contracts.values import ValueContract


class DatabaseContract(
    MessageContract,
    SagaContract,
    TransactionContract,
    ValueContract,
    ComputedContract,
    AgainContract,
):
    """Inherit, implement `make` and `end_transaction`; every engine must pass unchanged."""
