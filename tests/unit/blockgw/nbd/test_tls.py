"""blockgw/nbd/tls.py: what needs no connection; tests/functional/test_nbd_clients.py has the rest."""

import ssl
from pathlib import Path

import pytest

from blockgw.nbd.tls import _PSK_CIPHERS, PSK_SUPPORTED, Certificates, PreSharedKeys, TlsError, common_name, parse_keys


def test_keys_are_read_by_name() -> None:
    text = "# a comment\nalice:00ff\n\nhost:with:colons:ABCD  \n"
    assert parse_keys(text) == {"alice": b"\x00\xff", "host:with:colons": b"\xab\xcd"}


@pytest.mark.parametrize("line", ["alice", "alice:", ":00ff", "alice:xyz", "alice:0ff"])
def test_a_line_that_is_no_key_is_named_by_its_number_alone(line: str) -> None:
    with pytest.raises(TlsError) as caught:
        parse_keys(f"bob:00ff\n{line}")
    assert "line 2" in str(caught.value)
    assert line not in str(caught.value)


def test_the_common_name_of_a_subject() -> None:
    subject = ((("organizationName", "x"),), (("commonName", "host-1"),))
    assert common_name({"subject": subject}) == "host-1"
    assert common_name({}) == ""


def test_files_that_are_missing_or_wrong_are_named(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for path in (str(wrong), str(tmp_path / "missing.pem")):
        with pytest.raises(TlsError, match=path):
            Certificates(path, path)


@pytest.mark.skipif(PSK_SUPPORTED, reason="this Python has it")
def test_keys_are_refused_where_python_lacks_them() -> None:
    with pytest.raises(TlsError, match=r"3\.13"):
        PreSharedKeys({"alice": b"key"})


def test_the_ciphers_are_known_and_all_of_them_need_a_key() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_PSK_CIPHERS)
    names = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert names
    assert all("PSK" in name for name in names)
