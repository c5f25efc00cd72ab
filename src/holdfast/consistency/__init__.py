"""The consistency protocol: nothing committed is lost, and nothing is done twice.

`docs/protocol.md` explains it. What is where:

    core          who is made of whom: read it first
    ledger        the tables and edges of one service, and what everybody goes by

    turn          one piece of work inside a transaction, and what leaves once that is committed
    writer        gathers turns into one transaction, and knows whether it was kept
    unit          what one run of a handler reads, writes and sends; drives its coroutine
    columns       whether a handler writes columns that its table has

    letters       the rows of what is sent
    outbox        sends committed letters, and gives answers
    ready         letters that wait for room in a window, the oldest first

    inbox         takes parcels in
    received      the rows of what was taken in: made, found again, answered
    delivery      one letter on its way through its handler, and its calls outside
    senders       who may send a service what, by the graph
    handling      a letter's handler, in the transaction in which it ends
    leases        keep a letter to the process that works on it
    meeting       an undo, or a withdrawal, meets its command
    claimed       what is due in the table is run from there
    replies       the answers to letters, and the time-outs
    heard         events that were heard: their rows end beside other work

    sagas         start, advance, cancel and end sagas
    advance       one advance of one saga, in one transaction
    replay        one run of a saga's function over its recorded steps
    steps         the outcomes of steps
    waits         what sagas wait for: an event, or time

    relay         the claim loop, and floors
    cleaning      what is settled is forgotten, bite by bite
    high_water    how much waits, and whether that is too much
    unknown       what this version does not know, and waits for another
    attention     which letters need a person
    interventions what an operator may do to letters and sagas
    told          what is written down of an error
    trail         what of it belongs to a trace, for whoever records that

    safeguards    the rules, each with a switch that tests turn off
    transitions   what becomes of a message row; pure functions
    schedule      when a row is due again, what is over, where the floor is; pure functions
    rows          one row of `message`, seen as what it is
"""
