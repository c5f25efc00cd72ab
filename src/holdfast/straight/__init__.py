"""A straight door and a straight route, each made for one route.

The long way (`gateway.Door`, then `dispatch.CompiledRoute`) decides everything for each request:
which inputs a route has, whether it is public, who records spans. For one route of one process most
of that never changes. `template` has the way of a request once more, in two pieces, with these
questions as flags; `specialise` answers the flags, drops what can never happen, and compiles what
is left. `holdfast graph --source ROUTE` prints it, tracebacks show the lines of the template.

    gateway        straight door ── straight route            a route of this process
                                 └─ gateway.Forward           one of another process
    inner door     straight route

What is not usual (a refusal at the door, a token that is seen for the first time) goes the long
way, before anything was counted. The long way is the reference: the tests send the same requests
through both, and compare all that leaves.

What becomes of a route that takes an order and is not public:

    async def serve(request, path):                     # the door
        …
        claims = cached(sent.get(b'authorization', b''))
        if claims is None or claims.bound_to:
            return await door.serve(request, cause)
        taken = take_all(…)
        …
        response = await answer(request, path)
        …
        return Response(status, [*response.headers, rate, (b'x-correlation-id', …)], response.body)

    async def serve(request, path):                     # the route, which is `answer`
        …
        if scope not in request.caller.scopes:
            raise scope_missing(scope)
        body = read_body(request)
        value = function(body=body).send(None)
        …
        return Response(200, [JSON], to_json(value))
"""

from holdfast.straight.routes import source_of, straighten

__all__ = ["source_of", "straighten"]
