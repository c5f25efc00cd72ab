"""The consistency protocol: nothing committed is lost, and nothing is done twice.

`docs/protocol.md` explains it. What is where:

    safeguards    the rules, each with a switch that tests turn off
    transitions   what becomes of a message row; pure functions
    schedule      when a row is due again, what is over, where the floor is; pure functions
    ledger        the tables, edges and ids of one service; rows of letters to send
    unit          what one run of a handler reads, writes and sends; drives its coroutine
    writer        gathers turns into one transaction, and knows whether it was kept
    outbox        sends committed letters, and gives answers
    ready         letters that wait for room in a window, the oldest first
    inbox         takes letters in, and runs the rows that were claimed
    delivery      one letter's way through its handler, and the transaction in which it ends
    leases        keeps a letter to the process that works on it
    replies       takes the answers to letters, and the time-outs
    sagas         starts, advances, cancels and ends sagas
    replay        one run of a saga's function over its recorded steps
    steps         the outcomes of steps
    relay         the claim loop, floors, and what is forgotten
    unknown       what this version does not know, and waits for another
    attention     which letters need a person
    columns       whether a handler writes columns that its table has
    told          what is written down of an error
"""
