"""An authority of one test run: it signs the certificate of a broker or a model server, and of their clients."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


class Files(NamedTuple):
    """A certificate's PEM files: ``whole`` has key and chain in one."""

    whole: Path
    chain: Path
    key: Path


class Authority:
    """Keeps what it signs in ``folder``; ``trusted`` is what those who trust it are given."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self.trusted = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(self.trusted)

    def sign(self, name: str, *hosts: str, password: str = "") -> Files:
        """A new key and its certificate for these hosts; ``password`` locks the key."""
        signed = self._authority.issue_cert(*hosts)
        chain = b"".join(part.bytes() for part in signed.cert_chain_pems)
        # Java reads keys as PKCS 8 only.
        key = load_pem_private_key(signed.private_key_pem.bytes(), None).private_bytes(
            Encoding.PEM,
            PrivateFormat.PKCS8,
            BestAvailableEncryption(password.encode()) if password else NoEncryption(),
        )
        files = Files(*(self._folder / f"{name}-{part}.pem" for part in Files._fields))
        for path, held in zip(files, (key + chain, chain, key), strict=True):
            path.write_bytes(held)
        return files
