"""Signing: how the installation's own commands are told from what anybody else may write to its topics.

Place in the flow: ``prefstream rebuild`` signs what it sends, and the worker that decides it looks at the signature. Whoever
may publish may write for everybody, in the name of a person; the text of a model is not theirs to write.
"""

from __future__ import annotations

from hashlib import blake2b
from hmac import compare_digest

from msgspec.structs import replace

from prefstream import wire
from prefstream.commands import Adopt, GiveBack

_DIGEST_BYTES = 32


def signed(command: Adopt | GiveBack, namespace: str, secret: str) -> Adopt | GiveBack:
    """The command with its signature, for the installation with this namespace and no other, a shadow of it among them."""
    return replace(command, signature=_signature(command, namespace, secret))


def is_signed(command: Adopt | GiveBack, namespace: str, secret: str) -> bool:
    """Whether it was signed for this installation with this secret, and nothing of it is other since. Without one: never."""
    return bool(secret) and compare_digest(command.signature.encode(), _signature(command, namespace, secret).encode())


def _signature(command: Adopt | GiveBack, namespace: str, secret: str) -> str:
    key = blake2b(secret.encode(), digest_size=_DIGEST_BYTES).digest()
    said = namespace.encode() + b"\0" + wire.encode(replace(command, signature=""))
    return blake2b(said, digest_size=_DIGEST_BYTES, key=key, person=b"rebuild").hexdigest()
