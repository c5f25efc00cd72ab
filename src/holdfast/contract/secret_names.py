"""Which names say that what goes under them is a secret, and what of a URL is none."""

import re

# A word of a name, as in `cardNumber`, `api_key`, `X-Auth-Token`; a final s is ignored.
_SECRET_WORDS = frozenset(
    (
        *("apikey", "auth", "authorization", "bearer", "card", "cookie", "credential"),
        *("cvc", "cvv", "dsn", "iban", "jwt", "key", "otp", "pan", "passphrase"),
        *("passwd", "password", "pin", "pwd", "secret", "ssn", "token"),
    )
)
# Clear enough to count inside a longer word, as in `accesstoken`.
_SECRET_PARTS = ("apikey", "authorization", "cookie", "credential", "passw", "secret", "token")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def is_secret_name(name: str) -> bool:
    """Say whether what goes under this name is never written: `token`, `apiKey`, `Set-Cookie`."""
    folded = name.casefold()
    if any(part in folded for part in _SECRET_PARTS):
        return True
    words = {word.casefold() for word in _WORD.findall(name)}
    return not _SECRET_WORDS.isdisjoint(words | {word.removesuffix("s") for word in words})


def plain_url(url: str) -> str:
    """Return a URL as a refusal may show it: without user, password and query.

    What stands there may be no user and no password, but a part of one that was not escaped.
    """
    return re.sub(r"//.*@", "//[redacted]@", url, flags=re.DOTALL).partition("?")[0]
