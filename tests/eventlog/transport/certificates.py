"""Certificates of an authority that lives as long as a test, made by the `openssl` program."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from slimjobs.eventlog.transport.tls import TlsFiles

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """Signs certificates; everything is kept as files of one directory."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._certificate, self._key = directory / f"{name}.pem", directory / f"{name}.key"
        openssl("req", "-x509", *KEY, "-keyout", self._key, "-out", self._certificate, "-subj", f"/CN={name}")

    @classmethod
    @contextmanager
    def temporary(cls) -> Iterator[Self]:
        """One in a directory that goes with the block."""
        with tempfile.TemporaryDirectory() as directory:
            yield cls(Path(directory))

    def files(self, *dns: str, common_name: str = "somebody", called: str = "") -> TlsFiles:
        """A certificate for these names, or for none but its common name; in files called so."""
        called = called or (dns[0].strip("*.") if dns else common_name)
        certificate, key = self._directory / f"{called}.pem", self._directory / f"{called}.key"
        request = self._directory / f"{called}.csr"
        names = ["-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in dns)] if dns else []
        openssl("req", "-new", *KEY, "-keyout", key, "-out", request, "-subj", f"/CN={common_name}", *names)
        signed_by = ("-CA", self._certificate, "-CAkey", self._key, "-CAcreateserial")
        openssl("x509", "-req", "-in", request, "-out", certificate, *signed_by, "-copy_extensions", "copy")
        return TlsFiles(certificate, key, self._certificate)
