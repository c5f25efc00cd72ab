"""The safeguards of the protocol, each with a switch that only tests turn off.

A test that turns one off must see a promise broken; otherwise the safeguard is untested, or
unneeded. `docs/protocol.md` says of each what goes wrong without it, and names that test.
"""

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True)
class Safeguards:
    """Every switch; all are on in production. The comments name the sections of the protocol."""

    # The life of a letter: sending
    send_after_commit: bool = True
    send_until_answered: bool = True
    window: bool = True
    two_lanes: bool = True
    high_water_spares_letters: bool = True
    # The life of a letter: taking in, running, answering
    answer_again: bool = True
    record_with_effect: bool = True
    due_first_if_not_first: bool = True
    try_counted_before: bool = True
    conflicts_are_no_tries: bool = True
    undo_never_dead: bool = True
    guarded_states: bool = True
    unknown_waits: bool = True
    lease_renewed: bool = True
    lease_fenced: bool = True
    encode_before_commit: bool = True
    answer_after_commit: bool = True
    tolerant_letters: bool = True
    # Transactions
    failure_rolls_back: bool = True
    sticky_errors: bool = True
    commit_checked: bool = True
    commit_asked: bool = True
    no_foreign_awaits: bool = True
    shielded: bool = True
    # Outside
    reached_committed: bool = True
    reached_kept: bool = True
    same_bytes: bool = True
    key_life: bool = True
    # Sagas
    advance_once: bool = True
    discard_suspended: bool = True
    compare_steps: bool = True
    older_version_hands_back: bool = True
    uncaught_failure_undoes: bool = True
    expire_behind_answers: bool = True
    withdraw_without_undo: bool = True
    undo_newest_first: bool = True
    undo_carries_knowledge: bool = True
    refuse_before_command: bool = True
    forward_finishes_first: bool = True
    held_until_undone: bool = True
    undo_failure_is_a_try: bool = True
    keep_early_events: bool = True
    # Ticks, requests and unknown names
    request_with_effect: bool = True
    # Times, leases and floors
    remaining_time_on_hops: bool = True
    floor_check: bool = True
    time_goes_on: bool = True
    sent_above_floor: bool = True
    derived_ticks: bool = True

    def without(self, name: str) -> "Safeguards":
        """Return a copy with one switch off. Raises ValueError for an unknown name."""
        if name not in {f.name for f in fields(self)}:
            raise ValueError(f"there is no safeguard {name!r}")
        return replace(self, **{name: False})


ALL_ON = Safeguards()
