"""Mutual TLS between nodes: both sides show a certificate of one authority, and it says who they may be.

A node may greet under a name if its certificate has that name, or the host under which the peers' addresses have that
name, among its subject alternative names (DNS, with `*` for a first label, or IP); a certificate without any of them is
judged by its common name. So one certificate for `*.jobs.default.svc` serves a whole cluster, one for each node keeps
them apart. What the certificate says is compared with names, never with the address that a connection came from.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import trio

from slimjobs.eventlog.transport.complaints import Complaints
from slimjobs.eventlog.transport.frames import Unreadable
from slimjobs.eventlog.transport.link import loss_of

Certificate = Mapping[str, tuple[tuple[object, ...], ...]]
"""As `ssl.SSLSocket.getpeercert` gives it."""


class TlsFiles(msgspec.Struct, frozen=True):
    """PEM files: this node's certificate (with its chain), its key, and the authority that signs every peer's."""

    certificate: Path
    key: Path
    authority: Path


class TlsUnusable(Exception):
    """The files cannot be used; the message says which and why."""


class Contexts:
    """The TLS contexts of these files, read again when they change. Raises `TlsUnusable` at the start only."""

    def __init__(self, files: TlsFiles, complaints: Complaints) -> None:
        self._files, self._complaints = files, complaints
        self._seen = _versions(files)
        self._dialing, self._accepting = _read(files)

    def dialing(self) -> ssl.SSLContext:
        self._refresh()
        return self._dialing

    def accepting(self) -> ssl.SSLContext:
        self._refresh()
        return self._accepting

    def _refresh(self) -> None:
        """Files that change one after the other may not fit for a moment: the old ones are used until they do."""
        try:
            seen = _versions(self._files)
            if seen == self._seen:
                return
            self._dialing, self._accepting = _read(self._files)
            self._seen = seen
            self._complaints.forget(ROTATION)
        except TlsUnusable as error:
            self._complaints.about_peer(ROTATION, f"{error}; the files as they were before are used")


ROTATION: Final = "with the changed certificate files"


def _versions(files: TlsFiles) -> list[tuple[int, int, int]]:
    seen = []
    for path in (files.certificate, files.key, files.authority):
        try:
            stat = os.stat(path)
        except OSError as error:
            raise TlsUnusable(f"the TLS file {path} cannot be read: {error.strerror}") from error
        seen.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return seen


def _read(files: TlsFiles) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return _context(files, ssl.PROTOCOL_TLS_CLIENT), _context(files, ssl.PROTOCOL_TLS_SERVER)


def _context(files: TlsFiles, protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False  # pods have no lasting addresses: `speaks_for` judges the name that greets
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(cafile=files.authority)
    except OSError as error:
        raise TlsUnusable(f"the TLS authority {files.authority} is not usable: {_why(error)}") from error
    try:
        # An empty password, or the library would ask for one on the terminal.
        context.load_cert_chain(files.certificate, files.key, password="")
    except OSError as error:
        pair = f"the TLS certificate {files.certificate} with the key {files.key}"
        raise TlsUnusable(f"{pair} is not usable: {_why(error)}") from error
    return context


def _why(error: OSError) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return str(reason or error)


async def secure(
    stream: trio.SocketStream, context: ssl.SSLContext, server_side: bool
) -> trio.SSLStream[trio.SocketStream]:
    """TLS on this connection. Raises `Unreadable` if the other side has no right certificate or no TLS, or `Lost`."""
    secured = trio.SSLStream(stream, context, server_side=server_side, https_compatible=True)
    try:
        await secured.do_handshake()
    except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise loss_of(error) from error
    return secured


def certificate_of(stream: trio.SSLStream[trio.SocketStream]) -> Certificate:
    """What the other side has shown; the authority has signed it."""
    certificate: Certificate | None = stream.getpeercert()
    if certificate is None:
        raise Unreadable("TLS: no certificate")
    return certificate


def speaks_for(certificate: Certificate, name: str, host: str) -> bool:
    """Whether whoever has this certificate may greet as `name`, which the peers' addresses have at `host`."""
    wanted = {name.lower(), host.lower().rstrip(".")}
    return any(_covers(has.lower(), each) for has in _names(certificate) for each in wanted)


def _names(certificate: Certificate) -> list[str]:
    alternatives = [
        str(value) for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "IP Address")
    ]
    return alternatives or list(_common_names(certificate))


def _common_names(certificate: Certificate) -> Iterator[str]:
    for relative_name in certificate.get("subject", ()):
        for attribute in relative_name:
            if isinstance(attribute, tuple) and attribute[0] == "commonName":
                yield str(attribute[1])


def _covers(has: str, wanted: str) -> bool:
    """`*` stands for exactly one label, the first (RFC 6125, 6.4.3)."""
    if has.startswith("*."):
        _, dot, rest = wanted.partition(".")
        return dot + rest == has[1:]
    return has == wanted
