"""Security that cannot work is refused before anybody is called, field by field, and no password is shown."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from kafka.errors import SaslAuthenticationFailedError

from prefstream.connection import reaching
from prefstream.errors import InvalidSecurity, NotLetIn
from prefstream.security import Brokers, Security, brokers_of, client_settings, mistakes, security_of
from tests.authority import Authority

SECRET = "very-secret"


def test_an_empty_environment_is_in_the_open() -> None:
    assert security_of({"PREFSTREAM_BOOTSTRAP_SERVERS": "a:1", "PREFSTREAM_KAFKA_PASSWORD": ""}) == Security()
    assert client_settings(Security()) == {}
    assert brokers_of("a:1,b:2") == Brokers("a:1,b:2")
    assert str(Brokers("a:1,b:2", Security("SASL_PLAINTEXT", username="ada", password=SECRET))) == "a:1,b:2"


def test_what_a_client_is_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    ours = authority.sign("ours", "ada", password="locked")
    security = Security(
        "SASL_SSL",
        str(authority.trusted),
        str(ours.chain),
        str(ours.key),
        "locked",
        "PLAIN",
        "ada",
        SECRET,
    )
    assert mistakes(security) == []
    settings = client_settings(security)
    context = settings.pop("ssl_context")
    assert settings == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "ada",
        "sasl_plain_password": SECRET,
    }
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert len(context.get_ca_certs()) == 1
    assert SECRET not in repr(Brokers("a:1", security))


@pytest.mark.parametrize(
    ("variables", "name", "fix"),
    [
        ({"PROTOCOL": "TLS"}, "PROTOCOL", "'TLS': write one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ({"MECHANISM": "SCRAM"}, "MECHANISM", "'SCRAM': write one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
        ({"CA_FILE": "ca.pem"}, "CA_FILE", "PROTOCOL is PLAINTEXT, without TLS: write SSL or SASL_SSL there"),
        ({"PASSWORD": SECRET}, "PASSWORD", "PROTOCOL is PLAINTEXT, without names: write SASL_SSL or SASL_PLAINTEXT there"),
        ({"PROTOCOL": "SSL", "USERNAME": "ada"}, "USERNAME", "PROTOCOL is SSL, without names"),
        ({"PROTOCOL": "SASL_SSL", "USERNAME": "ada"}, "PASSWORD", "missing: SASL_SSL needs it"),
        ({"PROTOCOL": "SASL_SSL", "PASSWORD": SECRET}, "USERNAME", "missing"),
        ({"PROTOCOL": "SSL", "KEY_FILE": "key.pem"}, "CERTIFICATE_FILE", "missing: PREFSTREAM_KAFKA_KEY_FILE is the key of"),
        ({"PROTOCOL": "SSL", "CA_FILE": "nowhere.pem"}, "CA_FILE", "nowhere.pem: No such file or directory; name a PEM file"),
        ({"PROTOCOL": "SSL", "CA_FILE": "empty.pem"}, "CA_FILE", "empty.pem: NO_CERTIFICATE_OR_CRL_FOUND; name a PEM file"),
        (
            {"PROTOCOL": "SSL", "CERTIFICATE_FILE": "chain.pem"},
            "CERTIFICATE_FILE",
            "name a PEM file with the certificate and its key",
        ),
        (
            {"PROTOCOL": "SSL", "CERTIFICATE_FILE": "locked.pem"},
            "CERTIFICATE_FILE",
            "a locked key needs its PREFSTREAM_KAFKA_KEY",
        ),
    ],
)
def test_what_cannot_work_is_named_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], name: str, fix: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.pem").touch()
    ours = Authority(tmp_path).sign("ours", "ada", password="locked")
    ours.chain.rename("chain.pem")
    ours.whole.rename("locked.pem")
    with pytest.raises(InvalidSecurity) as refused:
        security_of({f"PREFSTREAM_KAFKA_{key}": value for key, value in variables.items()})
    sentence = str(refused.value)
    assert sentence.startswith(f"PREFSTREAM_KAFKA_{name}: ")
    assert len(sentence.splitlines()) == 1
    assert fix in sentence
    assert SECRET not in sentence


def test_a_password_that_is_refused_later_is_named_too() -> None:
    brokers = Brokers("a:1", Security("SASL_PLAINTEXT", username="ada", password=SECRET))
    with pytest.raises(NotLetIn, match="a:1 does not take user 'ada' with this password") as refused, reaching(brokers):
        raise SaslAuthenticationFailedError
    assert SECRET not in str(refused.value)
