"""Every wrong setting is named with what to write instead, and no secret is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.effective import shown, shown_default
from agents.settings import PREFIX, InvalidSettings, Settings
from model_server.profiles import profile_names
from prefstream.security import Brokers, Security
from streams.budgets import Budgets
from streams.flush import FlushPolicy
from streams.redaction import DEFAULT_KINDS, Redaction
from tests.agents.environment import SECRET, read, written

OURS = """\
caption = "ours"
engine = "counting"
dialect = "plain"
served_name = "our-own"
max_model_len = 2_000
timeout_seconds = 60
[sampling]
temperature = 0.5
"""
pytestmark = pytest.mark.usefixtures("empty_environment")


def test_an_empty_environment_is_a_worker_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch)
    assert (settings.bootstrap_servers, settings.namespace, settings.http_port) == ("127.0.0.1:9092", "prefstream", 9108)
    assert (settings.sources, settings.all_sources) == ({}, {"prefstream.inbox": "native", "prefstream.replays": "replays"})
    assert settings.flush_policy == FlushPolicy()
    assert settings.model_api_key is None


def test_what_the_environment_says_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(
        monkeypatch,
        NAMESPACE="shop.eu",
        SOURCES=" clicks=cloudevents, ratings = mapping:maps/a=b.toml ,posts=confluent-avro+mapping:c+d,",
        DATA_DIRECTORY="state/one",
        FLUSH_EVENTS="5",
        FLUSH_TOKENS="77",
        FLUSH_AGE_SECONDS="0.5",
    )
    assert settings.sources == {
        "clicks": "cloudevents",
        "ratings": "mapping:maps/a=b.toml",
        "posts": "confluent-avro+mapping:c+d",
    }
    assert settings.all_sources == {"shop.eu.inbox": "native", "shop.eu.replays": "replays"} | settings.sources
    assert (settings.data_directory, settings.flush_policy) == (Path("state/one"), FlushPolicy(5, 77, 0.5))


def test_a_shadow_takes_in_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, NAMESPACE="shop.eu.shadow-next", SOURCES="clicks=cloudevents")
    assert (settings.sources, settings.all_sources) == ({"clicks": "cloudevents"}, {})


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        ("NAMESPACE", "my shop", "use 1 to 200 of the characters a-z A-Z 0-9"),
        ("NAMESPACE", "", "use 1 to 200"),
        ("SOURCES", "clicks", "write TOPIC=ADAPTER, separated by commas"),
        ("TENANT_SOURCES", "clicks=shop", "'clicks' is none of PREFSTREAM_SOURCES: write TOPIC=TENANT"),
        ("SOURCES", "clicks=native,ratings", "write TOPIC=ADAPTER"),
        (
            "SOURCES",
            "clicks=natve",
            "'natve': use native, cloudevents, segment, snowplow, ga4 or mapping:FILE",
        ),
        ("SOURCES", "prefstream.events=native", "prefstream.events is one of prefstream's own topics: name the platform's"),
        ("SOURCES", "clicks=", "no adapter is called ''"),
        ("SOURCES", "clicks=confluent-avro", "no adapter is called 'confluent-avro'"),
        ("SOURCES", "clicks=confluent-avro+nativ", "no adapter is called 'confluent-avro+nativ'"),
        ("SOURCES", "clicks=confluent-avro+confluent-json+native", "no adapter is called"),
        ("SOURCES", "clicks=native+native", "no adapter is called 'native+native'"),
        ("SOURCES", "=native", "name every topic"),
        ("SOURCES", "clicks=native,clicks=cloudevents", "each of them once"),
        ("REDACT", "titles=email", "fields: post, comment, message, feedback, search, title, attribute"),
        ("REDACT", "title=mail", "kinds: email, card, phone, address"),
        ("REDACT", "title", "write FIELD=KIND+KIND or FIELD=none"),
        ("REDACT", "post=email,post=none", "each field once"),
        ("PHONE_REGIONS", "US,UK", "UK: no country has this code"),
        ("MODEL_URL", "localhost:8000", "localhost:8000 is no address of a server: write http://HOST:PORT or https://HOST"),
        ("MODEL_URL", "http://a:8000,b:8000", "b:8000 is no address of a server"),
        ("MODEL_URL", "ftp://a", "ftp://a is no address of a server"),
        ("MODEL_URL", "http://", "is no address of a server"),
        ("MODEL_URL", "http://a:x", "http://a:x is no address of a server"),
        ("MODEL_URL", "http://a:65536", "is no address of a server"),
        ("MODEL_URL", "http://[::1", "is no address of a server"),
        ("MODEL_URL", "http://a/v1?key=1", "http://a/v1?... is no address of a server"),
        ("MODEL_URL", "http://a:8000/v1 or so", "is no address of a server"),
        ("MODEL_URL", ",", "name every server, and each of them once"),
        ("MODEL_URL", "http://a,http://a/", "each of them once"),
        ("MODEL_URL", "http://a, http://ada:pass@b", "leave the password out of the addresses"),
        ("BOOTSTRAP_SERVERS", "a:9092,ada:pass@b:9092", "who asks goes into PREFSTREAM_KAFKA_USERNAME"),
        ("MODEL_PROFILE", "nobody", f"no profile has this name; write one of {', '.join(profile_names())}"),
        ("MODEL_PROFILE", "./missing.toml", "./missing.toml: cannot be read"),
        ("MODEL_NAME", "", "at least 1 character"),
        ("MODEL_TIMEOUT_SECONDS", "0", "greater than 0"),
        ("MODEL_TIMEOUT_SECONDS", "a minute", "valid number"),
        ("PRICES", "prompt=1,completion=2", "write KIND=PRICE for each of prompt, cached, completion"),
        ("PRICES", "prompt=1,cached=0,completion=free", "as in prompt=0.40,cached=0.04,completion=1.60"),
        ("PRICES", "prompt=1,cached=-1,completion=2", "write KIND=PRICE"),
        ("PRICES", "prompt=1,cached=0,completion=nan", "write KIND=PRICE"),
        ("PRICES", "prompt=1,cached=0,completion=2,prompt=3", "write KIND=PRICE"),
        ("STALLED_AFTER_SECONDS", "0", "greater than 0"),
        ("GIVE_UP_AFTER_SECONDS", "0", "greater than 0"),
        ("MODEL_CAPACITY", "0", "greater than or equal to 1"),
        ("MODEL_CAPACITY", "1.5", "valid integer"),
        ("MAX_SUMMARY_TOKENS", "39", "greater than or equal to 40"),
        ("MAX_SUMMARY_TOKENS", "2001", "less than or equal to 2000"),
        ("FLUSH_EVENTS", "0", "greater than or equal to 1"),
        ("FLUSH_TOKENS", "", "valid integer"),
        ("FLUSH_AGE_SECONDS", "0", "greater than 0"),
        ("FLUSH_AGE_SECONDS", "inf", "finite number"),
        ("DRAIN_SECONDS", "-1", "greater than or equal to 0"),
        ("SESSION_TIMEOUT_SECONDS", "5.9", "greater than or equal to 6"),
        ("KAFKA_PROTOCOL", "TLS", "'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or 'SASL_SSL'"),
        ("KAFKA_PASSWORD", SECRET, "PREFSTREAM_KAFKA_PROTOCOL is PLAINTEXT, without names"),
        ("KAFKA_CA_FILE", "nowhere.pem", "PREFSTREAM_KAFKA_PROTOCOL is PLAINTEXT, without TLS: write SSL or SASL_SSL there"),
        ("MODEL_CA_FILE", "nowhere.pem", "nowhere.pem: [Errno 2] No such file or directory; name a PEM file of certificates"),
        ("SCHEMA_REGISTRY", "registry:8081", "registry:8081 is no address of a server"),
        ("SCHEMA_REGISTRY", f"http://ada:{SECRET}@b", "a key goes into PREFSTREAM_SCHEMA_REGISTRY_PASSWORD or _TOKEN"),
        ("SCHEMA_REGISTRY_TOKEN", SECRET, "PREFSTREAM_SCHEMA_REGISTRY names no registry: name it, or leave this out"),
        ("FORGET_KEY", "bytes by chance \udcff", "it is no UTF-8: write a secret as text"),
        ("REBUILD_KEY", "bytes by chance \udcff", "it is no UTF-8: write a secret as text"),
        ("MODEL_API_KEY", "\udcff", "it is no UTF-8: write a secret as text"),
        ("MODEL_API_KEY", "sk-1234\n", "a line break, or another character that no header can hold"),
        ("TRACES_TOKEN", "a\tb", "a line break, or another character that no header can hold"),
        ("INSTANCE", "", "at least 1 character"),
        ("INSTANCE", "worker 1", "match pattern"),
        ("HTTP_PORT", "65536", "less than or equal to 65535"),
        ("HTTP_PORT", "-1", "greater than or equal to 0"),
        ("LOG_LEVEL", "LOUD", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("LOG_FORMAT", "xml", "'console' or 'json'"),
        ("LOG_FLUSHES_SECONDS", "-1", "greater than or equal to 0"),
        ("TRACES_URL", "collector:4318", "collector:4318 is no address of a server"),
        ("TRACES_URL", f"http://ada:{SECRET}@b", "a key goes into PREFSTREAM_TRACES_TOKEN"),
        ("TRACES_TOKEN", SECRET, "PREFSTREAM_TRACES_URL names no collector: name it, or leave this out"),
        ("TRACES_RATIO", "2", "less than or equal to 1"),
    ],
)
def test_a_wrong_value_names_its_variable_and_the_fix(monkeypatch: pytest.MonkeyPatch, name: str, value: str, fix: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        read(monkeypatch, **{name: value})
    lines = str(refused.value).splitlines()
    assert [line.split(": ", 1)[0] for line in lines] == [PREFIX + name]
    assert fix in lines[0]


def test_a_password_in_an_address_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidSettings) as refused:
        read(monkeypatch, MODEL_URL=f"http://ada:{SECRET}@b")
    assert SECRET not in str(refused.value)


def test_what_is_redacted_is_said_by_field(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch).redaction == Redaction()
    policy = read(monkeypatch, REDACT=" title=email+card , search=none", PHONE_REGIONS="GB, DE").redaction
    assert policy == Redaction({**DEFAULT_KINDS, "title": frozenset(["email", "card"]), "search": frozenset()}, ("GB", "DE"))
    assert read(monkeypatch, PHONE_REGIONS="").redaction.phone_regions == ()


def test_prices_are_said_by_kind_of_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch).prices == {}
    prices = read(monkeypatch, PRICES=" prompt=0.4, cached=0,completion=1.6").prices
    assert prices == {"prompt": 0.4, "cached": 0.0, "completion": 1.6}


def test_sensitive_matters_are_off_unless_they_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch).sensitive == ()
    assert read(monkeypatch, SENSITIVE="religion, health").sensitive == ("religion", "health")
    with pytest.raises(InvalidSettings, match="PREFSTREAM_SENSITIVE: faith: no such matter; write some of health, sexual_"):
        read(monkeypatch, SENSITIVE="religion,faith")


def test_several_servers_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, MODEL_URL=" http://10.0.0.1:8000/, https://models.example/evolve/v1 ,http://[::1]:8000,")
    assert settings.model_url == ("http://10.0.0.1:8000", "https://models.example/evolve/v1", "http://[::1]:8000")


def test_a_profile_is_a_name_or_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(OURS)
    assert read(monkeypatch).profile.name == "counting"
    assert read(monkeypatch, MODEL_PROFILE=str(path)).profile.served_name == "our-own"


def test_a_profile_that_cannot_work_is_refused_with_its_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(OURS + "temprature = 1")
    with pytest.raises(InvalidSettings) as refused:
        read(monkeypatch, MODEL_PROFILE=str(path))
    assert str(refused.value) == (
        f"{PREFIX}MODEL_PROFILE: {path}: sampling.temprature: no key has this name; write temperature"
    )


def test_the_brokers_are_said_with_how_to_come_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert read(monkeypatch, BOOTSTRAP_SERVERS="a:1").brokers == Brokers("a:1")
    path = written(tmp_path, 'kafka_username = "ada"')
    secured = {"KAFKA_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_PASSWORD": SECRET, "KAFKA_MECHANISM": "PLAIN"}
    security = Security("SASL_PLAINTEXT", mechanism="PLAIN", username="ada", password=SECRET)
    settings = read(monkeypatch, SETTINGS=path, **secured)
    assert settings.brokers == Brokers("a:1", security)
    assert [SECRET in text for text in (repr(settings), str(settings.brokers), repr(settings.brokers))] == [False] * 3


def test_a_secret_is_masked_wherever_settings_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, MODEL_API_KEY=SECRET)
    assert settings.model_api_key is not None
    assert settings.model_api_key.get_secret_value() == SECRET
    shown = [repr(settings), str(settings), repr(settings.model_dump()), settings.model_dump_json()]
    assert [SECRET in text for text in shown] == [False] * 4


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_is_for(name: str) -> None:
    field = Settings.model_fields[name]
    assert field.description
    shown = shown_default(field)
    assert shown
    assert "Undefined" not in shown


@pytest.mark.parametrize(
    ("variables", "fix"),
    [
        ({"SCHEMA_REGISTRY_USERNAME": "ada"}, "_PASSWORD go together: write both, or none"),
        ({"SCHEMA_REGISTRY_PASSWORD": SECRET}, "_PASSWORD go together: write both, or none"),
        (
            {"SCHEMA_REGISTRY_USERNAME": "ada", "SCHEMA_REGISTRY_PASSWORD": SECRET, "SCHEMA_REGISTRY_TOKEN": SECRET},
            "write that, or name and password",
        ),
        ({"SCHEMA_REGISTRY_CA_FILE": "nowhere.pem"}, "nowhere.pem: [Errno 2] No such file"),
    ],
)
def test_what_a_registry_is_told_goes_together(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], fix: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        read(monkeypatch, SCHEMA_REGISTRY="http://registry:8081", **variables)
    assert fix in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_wrong_registry_is_not_taken_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidSettings) as refused:
        read(monkeypatch, SCHEMA_REGISTRY="registry", SCHEMA_REGISTRY_TOKEN=SECRET)
    assert len(str(refused.value).splitlines()) == 1


def test_a_topic_may_be_a_tenants(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, SOURCES="clicks=native,sales=segment", TENANT_SOURCES=" sales = shop ,")
    assert settings.tenant_sources == {"sales": "shop"}


@pytest.mark.parametrize(
    ("tenants", "fix"),
    [
        ("clicks=", "'': a tenant has up to 64 of a-z"),
        ("clicks=Shop", "'Shop': a tenant has up to 64 of a-z"),
        ("clicks=shop,clicks=news", "name each topic once"),
    ],
)
def test_what_is_no_tenant_is_refused(monkeypatch: pytest.MonkeyPatch, tenants: str, fix: str) -> None:
    with pytest.raises(InvalidSettings, match=f"PREFSTREAM_TENANT_SOURCES: {fix}"):
        read(monkeypatch, SOURCES="clicks=native", TENANT_SOURCES=tenants)


def test_budgets_are_tokens_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(
        monkeypatch,
        TOKENS_PER_DAY="5000000",
        TENANT_TOKENS_PER_DAY=" shop = 2_000_000, default=500, *=100,",
        USER_TOKENS_PER_DAY="5000",
        SOURCES="clicks=native",
        TENANT_SOURCES="clicks=news",
    )
    assert settings.budgets == Budgets(5_000_000, 100, {"shop": 2_000_000, "": 500}, 5_000)
    assert settings.named_tenants == {"shop", "news"}
    assert shown(settings.tenant_tokens_per_day) == "shop=2000000,default=500,*=100"


def test_without_budgets_there_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (read(monkeypatch).budgets, read(monkeypatch).named_tenants) == (Budgets(), set())


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        ("shop", "write TENANT=TOKENS, each once"),
        ("shop=5,shop=6", "write TENANT=TOKENS, each once"),
        ("shop=-5", "write TENANT=TOKENS, each once"),
        ("Shop=5", "'Shop': a tenant has up to 64"),
        ("other=5", "'other' means something else here"),
    ],
)
def test_what_is_no_budget_is_refused(monkeypatch: pytest.MonkeyPatch, value: str, fix: str) -> None:
    with pytest.raises(InvalidSettings, match=f"PREFSTREAM_TENANT_TOKENS_PER_DAY: {fix}"):
        read(monkeypatch, TENANT_TOKENS_PER_DAY=value)


@pytest.mark.parametrize("path", ["", "/", "/v1/traces"])
def test_a_collector_is_named_by_its_root_or_by_where_it_takes_traces(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    assert read(monkeypatch, TRACES_URL=f"http://collector:4318{path}").traces_url == "http://collector:4318"
