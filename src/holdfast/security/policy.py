"""Who may do what: the one decision that every route asks for."""

from holdfast.security.bearer import DEFAULT_REALM, scope_missing, token_missing
from holdfast.security.claims import Claims


def require(caller: Claims | None, scope: str | None, *, realm: str = DEFAULT_REALM) -> None:
    """Return if the caller may go on.

    Args:
        caller: who was authenticated; None when nobody was.
        scope: what the token must carry; None asks only that somebody was authenticated.
    Raises:
        Unauthenticated: nobody was authenticated.
        Forbidden: the token does not carry the scope.
    """
    if caller is None:
        raise token_missing(realm)
    if scope is not None and scope not in caller.scopes:
        raise scope_missing(scope, realm)
