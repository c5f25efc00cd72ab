"""Attempts: how often somebody may try what guessing would open, such as a log-in."""

from dataclasses import dataclass, field

from holdfast.system.rate import Rate


@dataclass(frozen=True, slots=True)
class Attempts:
    """How often a route may be tried for one account, and from one address.

    An attempt counts before it is known whether it succeeds, and for accounts that do not exist
    as for those that do. Over a limit the answer is 429 with Retry-After, and the handler does
    not run. Processes that have `REDIS_URL` count together.

    Attributes:
        of: the text field of the body that names the account. Spellings that differ in case,
            spaces, accents or invisible characters count as one account.
        per_account: bounds how many passwords can be guessed; the owner has to wait as well while
            somebody guesses. None: no limit.
        per_address: bounds how many accounts one address can try; many people may share one. An
            IPv6 network (/64) counts as one address. None: no limit.
    """

    of: str
    per_account: Rate | None = field(default_factory=lambda: Rate(per_s=0.05, burst=10))
    per_address: Rate | None = field(default_factory=lambda: Rate(per_s=1.0, burst=60))
