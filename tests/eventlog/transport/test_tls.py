"""Mutual TLS: who has no certificate of the authority, or another's, is refused and the log says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from slimjobs.eventlog.transport.sockets import PeerAddress
from slimjobs.eventlog.transport.tls import Certificate, TlsFiles, TlsUnusable, speaks_for
from tests.eventlog.transport.certificates import Authority
from tests.eventlog.transport.nodes import Place, Talker, logged, place, running, same_place
from tests.eventlog.transport.test_strangers import HELLO, answer_of, warnings


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def of_a(authority: Authority) -> TlsFiles:
    return authority.files("a")


@pytest.fixture(scope="module")
def of_b(authority: Authority) -> TlsFiles:
    return authority.files("b")


async def pair(first: TlsFiles | None, second: TlsFiles | None) -> tuple[Talker, Talker, Place, Place]:
    """Nodes a and b with these files, and where they listen."""
    here, there = await place("a"), await place("b")
    addresses = [here.address, there.address]
    return Talker("a", 1, addresses, tls=first), Talker("b", 2, addresses, tls=second), here, there


async def test_peers_with_certificates_of_one_authority_talk_in_order(of_a: TlsFiles, of_b: TlsFiles) -> None:
    a, b, here, there = await pair(of_a, of_b)
    said = [f"{number} {'x' * 1000}" for number in range(2000)]
    with trio.fail_after(10):
        async with running((a, here.listeners), (b, there.listeners)):
            await a.met(b)
            await b.met(a)
            for turn in range(0, 2000, 100):
                a.say(b, *said[turn : turn + 100])
            b.say(a, "and back")
            assert await b.got(2000) == said
            assert await a.got(1) == ["and back"]


async def test_a_guest_is_answered_through_tls(of_a: TlsFiles, authority: Authority) -> None:
    here = await place("a")
    a = Talker("a", 1, [], tls=of_a)
    guest = Talker("somebody", 77, [here.address], guest=True, tls=authority.files(common_name="a client"))
    with trio.fail_after(5):
        async with running((a, here.listeners), (guest, [])):
            await guest.met(a)
            guest.say(a, "a question")
            await a.got(1)
            a.say(guest, "an answer")
            assert await guest.got(1) == ["an answer"]


async def test_a_dialer_refuses_a_certificate_of_another_authority(
    of_a: TlsFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    a, b, here, there = await pair(of_a, Authority(tmp_path, "another").files("b"))
    with trio.fail_after(5):
        async with running((a, here.listeners), (b, there.listeners)):
            await logged(caplog, f"no connection to {there.address}: TLS: CERTIFICATE_VERIFY_FAILED")
    assert a.told == b.told == []


async def test_who_is_dialed_refuses_a_certificate_of_another_authority(
    of_a: TlsFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = await place("a")
    forged = Authority(tmp_path, "another").files("b")
    a = Talker("a", 1, [PeerAddress("b", "127.0.0.1", 1)], tls=of_a)
    b = Talker("b", 2, [here.address], tls=TlsFiles(forged.certificate, forged.key, of_a.authority))
    with trio.fail_after(5):
        async with running((a, here.listeners), (b, [])):
            await logged(caplog, "a connection from 127.0.0.1 was closed: TLS: CERTIFICATE_VERIFY_FAILED")
    assert a.told == b.told == []


async def test_the_certificate_of_one_peer_cannot_greet_as_another(
    of_a: TlsFiles, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    a, b, here, there = await pair(of_a, authority.files("c"))
    with trio.fail_after(5):
        async with running((a, here.listeners), (b, there.listeners)):
            await logged(caplog, f"no connection to {there.address}: its certificate is not for 'b'")
            await logged(caplog, "no connection from b at 127.0.0.1: its certificate is not for 'b'")
    assert a.told == b.told == []


async def test_plaintext_on_a_tls_port_is_closed_and_logged(of_a: TlsFiles, caplog: pytest.LogCaptureFixture) -> None:
    a, plain, here, there = await pair(of_a, None)
    with trio.fail_after(5):
        async with running((a, here.listeners), (plain, there.listeners)):
            await answer_of(here.address, HELLO)
            await answer_of(here.address, b"GET / HTTP/1.1\r\n\r\n")
            await logged(caplog, "a connection from 127.0.0.1 was closed: TLS: ")
            await logged(caplog, f"no connection to {there.address}: ")
    assert a.told == plain.told == []


async def test_a_client_without_any_certificate_is_refused(of_a: TlsFiles, caplog: pytest.LogCaptureFixture) -> None:
    here = await place("a")
    a = Talker("a", 1, [PeerAddress("b", "127.0.0.1", 1)], tls=of_a)
    arguments = ["openssl", "s_client", "-connect", f"127.0.0.1:{here.address.port}", "-quiet"]
    with trio.fail_after(5):
        async with running((a, here.listeners)):
            await trio.run_process(arguments, stdin=HELLO, capture_stdout=True, capture_stderr=True, check=False)
    assert a.told == []
    assert warnings(caplog) == ["a connection from 127.0.0.1 was closed: TLS: PEER_DID_NOT_RETURN_A_CERTIFICATE"]


async def test_changed_files_are_used_for_the_next_connection_and_a_half_changed_pair_is_not(
    authority: Authority, of_a: TlsFiles, caplog: pytest.LogCaptureFixture
) -> None:
    wrong, right = authority.files("elsewhere", called="rotating"), authority.files("b", called="right")
    a, b, here, there = await pair(of_a, wrong)
    with trio.fail_after(5):
        async with running((a, here.listeners), (b, there.listeners)):
            await logged(caplog, "its certificate is not for 'b'")
            os.replace(right.certificate, wrong.certificate)
            await logged(caplog, "the files as they were before are used")
            assert a.told == b.told == []
            os.replace(right.key, wrong.key)
            await a.met(b)
            await b.met(a)


async def test_a_restarted_peer_is_met_again(of_a: TlsFiles, of_b: TlsFiles) -> None:
    a, b, here, there = await pair(of_a, of_b)
    later = Talker("b", 3, [here.address], tls=of_b)
    with trio.fail_after(5):
        async with running((a, here.listeners)):
            async with running((b, there.listeners)):
                await a.met(b)
            await a.lost(b)
            async with running((later, (await same_place(there.address)).listeners)):
                await a.met(later)


@pytest.mark.parametrize("missing", ["certificate", "key", "authority"])
def test_a_file_that_cannot_be_read_is_an_error_at_the_start_that_names_it(
    missing: str, of_a: TlsFiles, tmp_path: Path
) -> None:
    paths = {name: getattr(of_a, name) for name in ("certificate", "key", "authority")}
    with pytest.raises(TlsUnusable, match=rf"^the TLS file {tmp_path}/absent cannot be read: No such file"):
        Talker("a", 1, [], tls=TlsFiles(**paths | {missing: tmp_path / "absent"}))


def test_files_that_do_not_fit_or_are_no_certificates_are_an_error_at_the_start(
    of_a: TlsFiles, of_b: TlsFiles, tmp_path: Path
) -> None:
    with pytest.raises(TlsUnusable, match="is not usable: KEY_VALUES_MISMATCH"):
        Talker("a", 1, [], tls=TlsFiles(of_a.certificate, of_b.key, of_a.authority))
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(TlsUnusable, match=f"the TLS authority {empty} is not usable"):
        Talker("a", 1, [], tls=TlsFiles(of_a.certificate, of_a.key, empty))


def certificate(*alternatives: tuple[str, str], common_name: str = "n") -> Certificate:
    return {"subject": ((("commonName", common_name),),), "subjectAltName": alternatives}


@pytest.mark.parametrize(
    ("shown", "may"),
    [
        (certificate(("DNS", "jobs-0")), True),
        (certificate(("DNS", "JOBS-0.Jobs.default.svc")), True),
        (certificate(("DNS", "*.jobs.default.svc")), True),
        (certificate(("DNS", "*.default.svc")), False),
        (certificate(("DNS", "*")), False),
        (certificate(("DNS", "jobs-1"), ("DNS", "jobs-1.jobs.default.svc")), False),
        (certificate(("DNS", "jobs-1"), common_name="jobs-0"), False),
        (certificate(("URI", "jobs-1"), common_name="jobs-0"), True),
        (certificate(common_name="jobs-0"), True),
        (certificate(common_name="jobs-1"), False),
        ({}, False),
    ],
)
def test_a_name_or_its_host_must_be_in_the_certificate(shown: Certificate, may: bool) -> None:
    assert speaks_for(shown, "jobs-0", "jobs-0.jobs.default.svc.") is may


def test_an_address_of_the_certificate_counts_where_peers_are_configured_by_address() -> None:
    shown = certificate(("IP Address", "10.0.0.7"))
    assert speaks_for(shown, "jobs-0", "10.0.0.7")
    assert not speaks_for(shown, "jobs-0", "10.0.0.70")
