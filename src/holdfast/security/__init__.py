"""Tokens, keys, scopes and passwords."""

from holdfast.security.acceptance import REASONS, Reason, TokenPolicy, TokenRefused
from holdfast.security.authority import Authority, Issued
from holdfast.security.bearer import (
    bearer_token,
    proof_invalid,
    scope_missing,
    token_invalid,
    token_missing,
    token_sent,
)
from holdfast.security.claims import Claims
from holdfast.security.introspection import AnswersKept, OpaqueVerifier
from holdfast.security.issuers import Issuers
from holdfast.security.issuing import SigningKey, TokenSigner, public_jwks
from holdfast.security.key_cache import CachedKeys, KeyCacheStats
from holdfast.security.keys import FixedKeys, Jwks, KeySource, VerifyingKey, read_jwks
from holdfast.security.passwords import hash_password, is_outdated, password_matches
from holdfast.security.proofs import PROOF_LEEWAY_S, PROOF_LIFE_S, proof_url, read_proof
from holdfast.security.tokens import TokenVerifier, VerifierStats
from holdfast.security.transaction import (
    TRANSACTION_REASONS,
    Purpose,
    TransactionClaims,
    TransactionReason,
    TransactionRefused,
    TransactionSigner,
)
from holdfast.security.transaction_verifier import TransactionVerifier

__all__ = [
    "PROOF_LEEWAY_S",
    "PROOF_LIFE_S",
    "REASONS",
    "TRANSACTION_REASONS",
    "AnswersKept",
    "Authority",
    "CachedKeys",
    "Claims",
    "FixedKeys",
    "Issued",
    "Issuers",
    "Jwks",
    "KeyCacheStats",
    "KeySource",
    "OpaqueVerifier",
    "Purpose",
    "Reason",
    "SigningKey",
    "TokenPolicy",
    "TokenRefused",
    "TokenSigner",
    "TokenVerifier",
    "TransactionClaims",
    "TransactionReason",
    "TransactionRefused",
    "TransactionSigner",
    "TransactionVerifier",
    "VerifierStats",
    "VerifyingKey",
    "bearer_token",
    "hash_password",
    "is_outdated",
    "password_matches",
    "proof_invalid",
    "proof_url",
    "public_jwks",
    "read_jwks",
    "read_proof",
    "scope_missing",
    "token_invalid",
    "token_missing",
    "token_sent",
]
