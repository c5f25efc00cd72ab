"""Where the tests are that stand at a limit: at its maximum, and one above.

{place, as docs/limits.md names it: file below tests/, and test}, for all that a request meets.
"""

_SERVER, _SLOW = "communication/test_server.py", "communication/test_slow_clients.py"
_FRAMING, _ASGI = "communication/test_framing.py", "communication/test_asgi.py"
_LISTENING, _DOOR = "engines/test_listening.py", "gateway/test_door.py"
_BOUNDS, _PROOFS = "security/test_bounds.py", "security/test_proofs.py"
_KEYS, _OPAQUE = "security/test_key_cache.py", "security/test_introspection.py"
_SIGNED, _REQUESTS = "security/test_transaction_attacks.py", "dispatch/test_requests.py"
_GOOD, _WAIT = "test_a_good_request_is_served", "test_a_wait_is_as_long_as_it_is_said_to_be"

EDGES = {
    # a request comes in
    "engines.network.BACKLOG_MAX": (
        _LISTENING,
        "test_the_kernel_holds_so_many_until_they_are_accepted",
    ),
    "engines.acceptor.ACCEPTED_MAX": (
        "engines/test_acceptor.py",
        "test_so_many_are_accepted_in_one_round",
    ),
    "engines.network.HANDSHAKE_S": (_LISTENING, "test_a_client_has_so_long_for_its_handshake"),
    "HttpLimits.connections_max": (_SERVER, "test_connections_over_the_maximum_are_refused"),
    "HttpLimits.header_bytes_max": (
        "gateway/test_smuggling.py",
        "test_each_payload_is_answered_as_it_must_be",
    ),
    "HttpLimits.headers_max": (_FRAMING, _GOOD),
    "HttpLimits.target_bytes_max": (_FRAMING, _GOOD),
    "gateway.forwarded.HOPS_MAX": (
        "gateway/test_forwarded.py",
        "test_so_many_proxies_stand_in_a_row",
    ),
    "Gateway.connections_per_address": (
        "communication/test_occupancy.py",
        "test_one_address_has_so_many_connections",
    ),
    "communication.connection.WAITING_BYTES_MAX": (
        _SLOW,
        "test_a_stream_is_not_read_on_for_who_takes_nothing",
    ),
    "engines.network.UNSENT_BYTES_MAX": (
        _SLOW,
        "test_the_kernel_holds_little_for_a_client_that_does_not_read",
    ),
    "HttpLimits.header_deadline_s": (_SLOW, _WAIT),
    "HttpLimits.body_stall_s": (_SLOW, _WAIT),
    "HttpLimits.write_stall_s": (_SLOW, "test_who_takes_nothing_is_gone_within_ten_seconds"),
    "HttpLimits.bytes_per_s_min": (_SLOW, "test_who_sends_at_half_the_rate_has_twice_the_time"),
    "Gateway.body_bytes_max": (_FRAMING, _GOOD),
    "HttpLimits.bodies_bytes_max": (_SERVER, "test_all_bodies_together_may_be_so_large"),
    "HttpLimits.requests_ahead_max": (_SERVER, "test_so_many_requests_are_read_ahead"),
    "HttpLimits.idle_s": (_SLOW, _WAIT),
    "runtime.hop.AGE_S": (_SLOW, "test_a_connection_is_as_old_as_it_is_said_to_be"),
    "HttpLimits.linger_s": (_SLOW, _WAIT),
    "communication.asgi.RUNNING_MAX": (_ASGI, "test_what_an_app_still_does_is_bounded"),
    "communication.asgi.PIECES_MAX": (_ASGI, "test_so_many_pieces_wait_for_the_client"),
    "Gateway.per_caller": (_DOOR, "test_a_caller_has_a_rate"),
    "Gateway.per_address": (_DOOR, "test_an_address_has_a_rate"),
    "Attempts.per_account": (
        "dispatch/test_attempts.py",
        "test_two_hundred_guesses_of_one_account",
    ),
    "Attempts.per_address": (
        "dispatch/test_attempts.py",
        "test_one_address_tries_some_accounts_only",
    ),
    "MemoryLimits(keys_max)": (
        "resilience/test_limiter.py",
        "test_the_number_of_keys_is_bounded",
    ),
    "engines.redis.AGE_S": (
        "engines/test_redis_identity.py",
        "test_an_old_connection_is_followed_by_one_with_the_newest_certificate",
    ),
    "engines.redis.ANSWER_S": (
        "engines/test_redis.py",
        "test_a_question_without_an_answer_is_not_asked_twice",
    ),
    "Gateway.requests_max": (
        "dispatch/test_entrance.py",
        "test_one_more_than_there_are_places_is_refused_and_told_when_to_come",
    ),
    "Gateway.wait_s": (
        "dispatch/test_entrance.py",
        "test_who_stood_in_line_for_too_long_is_refused",
    ),
    "Gateway.deadline_s": (_DOOR, "test_the_deadline_is_counted_from_when_a_request_came"),
    "gateway.forward.GRACE_S": (
        "gateway/test_forward.py",
        "test_the_gateway_waits_a_moment_longer_than_the_service",
    ),
    "contract.http.GONE_S": (
        "gateway/test_admission.py",
        "test_who_has_gone_is_not_worked_for",
    ),
    "Tokens.token_bytes_max": (_BOUNDS, "test_a_token_holds_its_length"),
    "Tokens.max_lifetime_s": (_BOUNDS, "test_times_hold_their_bounds"),
    "Tokens.leeway_s": (_BOUNDS, "test_times_hold_their_bounds"),
    "security.tokens.KEYS_TRIED_MAX": (_BOUNDS, "test_so_many_keys_are_tried"),
    "security.keys.JWKS_BYTES_MAX": (_BOUNDS, "test_a_set_holds_its_bounds"),
    "security.keys.JWKS_KEYS_MAX": (_BOUNDS, "test_a_set_holds_its_bounds"),
    "CachedKeys(fetch_timeout_s)": (_KEYS, "test_a_fetch_may_take_so_long"),
    "CachedKeys(max_age_s)": (_KEYS, "test_a_fresh_set_is_not_fetched_again"),
    "CachedKeys(max_stale_s)": (_KEYS, "test_the_fast_path_ends_with_the_set"),
    "TokenVerifier(cache_max)": (
        "security/test_tokens.py",
        "test_the_least_recently_used_token_is_forgotten",
    ),
    "security.proofs.PROOF_BYTES_MAX": (_PROOFS, "test_a_proof_holds_its_length"),
    "security.proofs.PROOF_LIFE_S": (_PROOFS, "test_a_proof_holds_its_bounds"),
    "security.proofs.JTI_MAX": (_PROOFS, "test_a_proof_holds_its_bounds"),
    "runtime.introspection.ANSWER_S": (
        "gateway/test_introspection.py",
        "test_an_issuer_has_so_long_to_answer",
    ),
    "security.introspection.ANSWER_BYTES_MAX": (_OPAQUE, "test_an_answer_holds_its_length"),
    "AnswersKept(tokens_max)": (_OPAQUE, "test_so_many_refusals_are_remembered"),
    # what a route takes
    "dispatch.inputs.QUERY_FIELDS_MAX": (
        "dispatch/test_inputs.py",
        "test_a_query_has_a_maximum_of_fields",
    ),
    "dispatch.requests.KEY_CHARS_MAX": (_REQUESTS, "test_a_key_may_be_so_long"),
    "dispatch.requests.RESPONSE_BYTES_MAX": (
        _REQUESTS,
        "test_a_recorded_response_may_be_so_large",
    ),
    "Schedule.request_kept_ms": (_REQUESTS, "test_a_record_is_kept_for_its_time"),
    "Schedule.anonymous_kept_ms": (_REQUESTS, "test_a_record_is_kept_for_its_time"),
    "dispatch.requests.REFUSALS_MAX": (
        _REQUESTS,
        "test_refusals_are_remembered_up_to_a_maximum",
    ),
    "dispatch.requests.REFUSAL_BYTES_MAX": (
        _REQUESTS,
        "test_refusals_are_remembered_up_to_a_maximum",
    ),
    "security.passwords.PASSWORD_BYTES_MAX": (_BOUNDS, "test_a_password_at_its_bounds"),
    # who is told to a service
    "contract.cause.SUBJECT_CHARS_MAX": (
        "dispatch/test_inner_door.py",
        "test_a_subject_may_be_so_long",
    ),
    "security.transaction.TOKEN_BYTES_MAX": (_SIGNED, "test_a_token_may_be_so_long"),
    "security.transaction.X5C_MAX": (_SIGNED, "test_so_many_certificates_are_brought"),
    "security.transaction_verifier.SIGNERS_MAX": (_SIGNED, "test_only_so_many_are_remembered"),
    "gateway.exchange.KEPT_MAX": (
        "gateway/test_exchange.py",
        "test_it_keeps_what_was_used_last",
    ),
}
