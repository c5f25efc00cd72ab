"""One straight function for each route: door, token, limits, inputs, handler and answer in a frame.

The long way (`gateway.Door`, then `dispatch.CompiledRoute`) decides everything for each request:
which inputs a route has, whether it is public, who records spans. For one route of one process most
of that never changes. `template` has the way of a request once more, in one piece, with these
questions as flags; `specialise` answers the flags, drops what can never happen, and compiles what
is left. `holdfast graph --source ROUTE` prints it, tracebacks show the lines of the template.

What is not usual (a refusal at the door, a token that is seen for the first time) goes the long
way, before anything was counted. The long way is the reference: the tests send the same requests
through both, and compare all that leaves.

What a route becomes that takes an order and is not public:

    async def serve(request, path):
        …
        claims = cached(sent.get(b'authorization', b'')[7:])
        if claims is None or claims.bound_to or scope not in claims.scopes:
            return await door.serve(request, cause)
        taken = take_all(…)
        …
        value = function(body=read_body(request)).send(None)
        …
        return Response(200, [JSON, rate, (b'x-correlation-id', …)], to_json(value))
"""

from holdfast.straight.routes import source_of, straighten, straighten_through

__all__ = ["source_of", "straighten", "straighten_through"]
