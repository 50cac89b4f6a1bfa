"""Settings: where they come from, what is refused, and that every mistake is named at once."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from meter.errors import BadConfiguration
from meter.kafka.connection import CLOSE_SECONDS
from meter.kafka.consumer import COMMIT_SECONDS, MAX_HEARTBEAT_SECONDS
from meter.pipeline.lease import KEEPALIVE_SECONDS
from meter.settings import BatchSettings, KafkaSettings, Settings, load
from meter.settings.options import ASSIGNMENT_SECONDS, SECRETS, every_option, secret_values
from meter.settings.sources import variable_name

BAD_CONFIGS = sorted((Path(__file__).parent / "bad_configs").glob("*.toml"))
CONFIG = Path(__file__).parent.parent.parent / "config"


def written(folder: Path, text: str) -> Path:
    path = folder / "meter.toml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(path: Path | None = None, environ: Mapping[str, str] | None = None, **needs: bool) -> list[str]:
    with pytest.raises(BadConfiguration) as caught:
        load(path, environ or {}, **needs)
    return list(caught.value.faults)


def test_the_defaults_are_the_documented_ones() -> None:
    """Without file and environment everything has the value of the documentation's table."""
    settings = load(None, {})
    assert settings.kafka.bootstrap_servers == "127.0.0.1:9092"
    assert (settings.kafka.topic, settings.kafka.group_id) == ("usage-events", "meter")
    assert settings.kafka.dead_letter_topic == "usage-events-dead-letters"
    assert settings.kafka.receipts_topic == "usage-events-receipts"
    assert (settings.kafka.start_from, settings.kafka.session_timeout_seconds) == ("refuse", 30)
    assert tuple(settings.batch.model_dump().values()) == (1000, 900_000, 1.0, 50_000, 67_108_864)
    assert tuple(settings.dedupe.model_dump().values()) == (86_400, 2_000_000)
    assert (settings.billing.base_url, settings.billing.mcp_url) == (
        "http://127.0.0.1:8484",
        "http://127.0.0.1:8484/mcp",
    )
    assert (settings.billing.timeout_seconds, settings.billing.max_in_flight) == (10, 4)
    assert tuple(settings.limits.model_dump().values()) == (10, 60, 100_000, "allow")
    assert tuple(settings.http.model_dump().values()) == ("127.0.0.1", 8480, None)
    assert tuple(settings.run.model_dump().values()) == (20, 60)
    assert tuple(settings.log.model_dump().values()) == ("info", "auto")


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    """Defaults < file < METER_<SECTION>__<OPTION>, option by option."""
    path = written(tmp_path, "[batch]\nmax_events = 10\nmax_bytes = 20\n")
    settings = load(path, {"METER_BATCH__MAX_EVENTS": "30"})
    assert (settings.batch.max_events, settings.batch.max_bytes) == (30, 20)
    assert settings.batch.max_age_seconds == BatchSettings().max_age_seconds


def test_the_providers_own_variables_stand_between_file_and_ours(tmp_path: Path) -> None:
    """SOLVAPAY_* wins over the file, METER_* over both."""
    path = written(tmp_path, '[billing]\nbase_url = "http://file"\nsecret_key = "sk_file"\n')
    theirs = {"SOLVAPAY_API_BASE_URL": "http://theirs", "SOLVAPAY_SECRET_KEY": "sk_theirs"}
    settings = load(path, theirs)
    assert settings.billing.base_url == "http://theirs"
    assert secret_values(settings) == ["sk_theirs"]
    assert load(path, {**theirs, "METER_BILLING__BASE_URL": "http://ours"}).billing.base_url == "http://ours"


def test_topics_and_addresses_follow_what_they_are_derived_from() -> None:
    """Another topic has dead letters and receipts of its own; the MCP address follows the provider's."""
    settings = load(None, {"METER_KAFKA__TOPIC": "clicks", "METER_BILLING__BASE_URL": "https://x.example/"})
    assert settings.kafka.dead_letter_topic == "clicks-dead-letters"
    assert settings.kafka.receipts_topic == "clicks-receipts"
    assert settings.billing.mcp_url == "https://x.example/mcp"
    assert load(None, {"METER_BILLING__BASE_URL": "http://x/v1/sdk/"}).billing.mcp_url == "http://x/mcp"
    assert KafkaSettings(topic="direct").receipts_topic == "direct-receipts"


def test_a_provider_keeps_its_name_when_the_transport_changes() -> None:
    """Receipts are found again; a provider of whom only the MCP address is known goes by that."""
    both = {"METER_BILLING__BASE_URL": "https://api.example", "METER_BILLING__MCP_URL": "https://mcp.example/mcp"}
    only_mcp = {"METER_BILLING__MCP_URL": "https://mcp.example/mcp"}
    over_mcp = {"METER_BILLING__TRANSPORT": "mcp"}
    assert load(None, both).billing.provider == load(None, both | over_mcp).billing.provider == "https://api.example"
    assert load(None, only_mcp | over_mcp).billing.provider == "https://mcp.example/mcp"
    assert load(None, over_mcp).billing.provider == load(None, {}).billing.provider


@pytest.mark.parametrize("path", BAD_CONFIGS, ids=lambda path: path.stem)
def test_a_bad_file_is_refused_with_exactly_these_sentences(path: Path) -> None:
    """Each file of bad_configs/ gets the sentences that it expects, all of them and no other."""
    lines = path.read_text(encoding="utf-8").splitlines()
    expected = [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]
    found = [fault.replace(f"{path.parent}/", "") for fault in faults(path)]
    assert found == expected
    assert "hunter2secret" not in "".join(found)


def test_mistakes_of_file_and_environment_are_reported_together(tmp_path: Path) -> None:
    """Unknown names, bad values, impossible combinations, a missing secret: all at once, under their own names."""
    path = written(tmp_path, "[batch]\nmax_events = 0\n")
    environ = {"METER_LOG__LEVL": "info", "METER_HTTP__PORT": "many", "METER_HTTP__HOST": "0.0.0.0"}
    found = faults(path, environ, needs_secret_key=True)
    assert len(found) == 5
    assert "METER_LOG__LEVL is not an option; did you mean METER_LOG__LEVEL?" in found
    assert "METER_HTTP__PORT is 'many': it must be a whole number from 0 to 65535" in found
    assert any("METER_HTTP__HOST 0.0.0.0 can be reached from other machines" in fault for fault in found)
    assert any(fault.startswith("billing.secret_key is missing") for fault in found)


def test_a_mistake_is_not_reported_twice() -> None:
    """A combination is not judged while one of its options is wrong by itself."""
    environ = {"METER_KAFKA__SESSION_TIMEOUT_SECONDS": "-1", "METER_KAFKA__TOPIC": "a b"}
    assert len(faults(None, environ)) == 2


def test_a_missing_key_names_the_three_ways_to_give_it() -> None:
    """Who has no secret key yet learns the variable, the file and the option."""
    [fault] = faults(needs_secret_key=True)
    for way in ("SOLVAPAY_SECRET_KEY,", "SOLVAPAY_SECRET_KEY_FILE", "secret_key under [billing]"):
        assert way in fault


@pytest.mark.parametrize(
    ("variable", "option"),
    [
        ("SOLVAPAY_SECRET_KEY_FILE", "billing.secret_key"),
        ("METER_BILLING__SECRET_KEY_FILE", "billing.secret_key"),
        ("METER_HTTP__TOKEN_FILE", "http.token"),
        ("METER_KAFKA__SASL_PASSWORD_FILE", "kafka.sasl_password"),
    ],
)
def test_any_secret_can_come_from_a_file(tmp_path: Path, variable: str, option: str) -> None:
    """`<NAME>_FILE` names a file with the secret; the line's end is not part of it."""
    path = tmp_path / "secret"
    path.write_text("s3cret\n", encoding="utf-8")
    environ = {variable: str(path)}
    if option == "kafka.sasl_password":
        environ |= {"METER_KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "METER_KAFKA__SASL_USERNAME": "meter"}
    assert secret_values(load(None, environ)) == ["s3cret"]


def test_a_secret_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, empty, or beside the variable itself: one sentence each."""
    empty = tmp_path / "empty"
    empty.touch()
    assert faults(None, {"METER_HTTP__TOKEN_FILE": "/nowhere"}) == [
        "METER_HTTP__TOKEN_FILE: /nowhere cannot be read: no such file or directory"
    ]
    assert faults(None, {"METER_HTTP__TOKEN_FILE": str(empty)}) == [f"METER_HTTP__TOKEN_FILE: {empty} is empty"]
    assert faults(None, {"METER_HTTP__TOKEN_FILE": str(empty), "METER_HTTP__TOKEN": "t"}) == [
        "METER_HTTP__TOKEN and METER_HTTP__TOKEN_FILE are both set: set one of them"
    ]


def test_only_secrets_come_from_files() -> None:
    """`_FILE` behind any other option is an unknown name."""
    assert faults(None, {"METER_KAFKA__TOPIC_FILE": "/x"}) == [
        "METER_KAFKA__TOPIC_FILE is not an option; did you mean METER_KAFKA__TOPIC?"
    ]


def test_variables_of_tests_and_sandbox_are_not_ours(tmp_path: Path) -> None:
    """METER_TEST_*, METER_SANDBOX__* and [sandbox] belong to others; an empty variable counts as not set."""
    path = written(tmp_path, "[sandbox]\nanything = 1\n")
    environ = {"METER_TEST_KAFKA": "x", "METER_SANDBOX__FREE_UNITS": "5", "METER_HTTP__TOKEN": "", "METERED": "x"}
    assert load(path, environ) == Settings()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Nothing else is judged without it."""
    assert faults(tmp_path / "nowhere.toml") == [f"{tmp_path}/nowhere.toml cannot be read: no such file or directory"]


def test_a_file_that_is_no_toml_is_named_with_the_place(tmp_path: Path) -> None:
    """The file, and line and column; not the text, which may be a secret."""
    [fault] = faults(written(tmp_path, "[billing]\nsecret_key: hunter2\n"))
    assert fault.startswith(f"{tmp_path}/meter.toml is not valid TOML: ")
    assert "line 2" in fault
    assert "hunter2" not in fault


def test_certificates_that_nobody_looks_at_are_refused() -> None:
    """Who names certificates means TLS; a protocol without it would silently ignore them."""
    assert faults(None, {"METER_KAFKA__SSL_CA_FILE": __file__}) == [
        "METER_KAFKA__SSL_CA_FILE is set, but kafka.security_protocol PLAINTEXT does not use it: choose SSL or SASL_SSL"
    ]


def test_no_secret_is_shown_anywhere() -> None:
    """Neither `repr` nor `str` nor a fault about the neighbour of a secret holds one."""
    environ = {"SOLVAPAY_SECRET_KEY": "sk_hunter2", "METER_HTTP__TOKEN": "hunter2-token"}
    settings = load(None, environ)
    assert "hunter2" not in f"{settings!r} {settings} {settings.billing!r} {settings.model_dump()}"
    assert "hunter2" not in "".join(faults(None, {**environ, "METER_BILLING__TIMEOUT_SECONDS": "0"}))


def test_every_option_has_a_line_of_documentation() -> None:
    """The README's table is made of these; it also says what is a secret."""
    assert all(info.description for _, info in every_option())
    assert {name for name, _ in every_option()} >= SECRETS


def test_every_option_can_be_set_by_a_variable() -> None:
    """No variable of an option is taken for an unknown one."""
    every_variable = {variable_name(name): "!" for name, _ in every_option()}
    assert [fault for fault in faults(None, every_variable) if "is not an option" in fault] == []


def test_the_deadlines_fit_into_each_other() -> None:
    """Request + 2 s < revocation < rebalance, session <= rebalance, and a lease that can be used, at the extremes.

    A rebalance has time for all that a member does before it joins again, in order, and for one that begins just when
    an assignment is being taken over.
    """
    for session, timeout in ((30, 10), (6, 3), (1800, 1790), (45, 0.1), (13, 10), (24, 20)):
        environ = {
            "METER_KAFKA__SESSION_TIMEOUT_SECONDS": str(session),
            "METER_BILLING__TIMEOUT_SECONDS": str(timeout),
        }
        settings = load(None, environ)
        assert timeout + 2 < settings.revocation_deadline_seconds < settings.rebalance_timeout_seconds
        assert settings.rebalance_timeout_seconds >= session
        assert settings.lease_seconds > KEEPALIVE_SECONDS
        noticed = min(session / 10, MAX_HEARTBEAT_SECONDS)
        windows_stop = CLOSE_SECONDS + 1
        revoked = max(windows_stop, settings.revocation_deadline_seconds) + COMMIT_SECONDS
        assert noticed + revoked < settings.rebalance_timeout_seconds
        taken_over = ASSIGNMENT_SECONDS + noticed + settings.revocation_deadline_seconds
        assert taken_over < settings.rebalance_timeout_seconds


def test_a_lease_that_could_hardly_be_used_is_refused() -> None:
    """It is renewed every 0.8 s: with 0.1 s of it meter would send for an eighth of the time, or never."""
    environ = {"METER_KAFKA__SESSION_TIMEOUT_SECONDS": "12.1", "METER_BILLING__TIMEOUT_SECONDS": "10"}
    [fault] = faults(None, environ)
    assert "at least 13 seconds" in fault


@pytest.mark.parametrize(("length", "too_long"), [(237, ["dead_letter"]), (249, ["dead_letter", "receipts"])])
def test_topics_whose_names_are_derived_are_not_too_long_for_kafka(length: int, too_long: list[str]) -> None:
    """Said at start, and not by a broker at the first write."""
    topic = {"METER_KAFKA__TOPIC": "t" * length}
    found = faults(None, topic)
    assert [fault.split("_topic would have ")[0] for fault in found] == [f"kafka.{name}" for name in too_long]
    assert all("Kafka takes 249: choose a shorter METER_KAFKA__TOPIC, or set kafka." in fault for fault in found)
    given = {f"METER_KAFKA__{name.upper()}_TOPIC": name for name in too_long}
    assert load(None, {**topic, **given}).kafka.topic == "t" * length
    assert len(load(None, {"METER_KAFKA__TOPIC": "t" * 236}).kafka.dead_letter_topic) == 249


def test_the_example_file_holds_every_option_with_its_default(tmp_path: Path) -> None:
    """config/meter.toml, with its # taken off, is the defaults; nothing is missing and nothing made up."""
    text = (CONFIG / "meter.toml").read_text(encoding="utf-8")
    lines = [line.removeprefix("#") for line in text.splitlines() if not line.startswith("# ") and line != "#"]
    table = tomllib.loads("\n".join(lines))
    assert [f"{section}.{option}" for section in table for option in table[section]] == [n for n, _ in every_option()]
    without_default = {"sasl_username", "sasl_password", "ssl_ca_file", "ssl_cert_file", "ssl_key_file"}
    without_default |= {"group_instance_id", "secret_key", "token", "idempotency_window_seconds"}
    given = {s: {o: v for o, v in options.items() if o not in without_default} for s, options in table.items()}
    assert Settings.model_validate(given) == Settings()


def test_the_example_file_describes_each_option_as_the_model_does() -> None:
    """One source for what an option means."""
    text = (CONFIG / "meter.toml").read_text(encoding="utf-8")
    assert [name for name, info in every_option() if f"# {info.description}" not in text] == []


def test_the_production_example_is_good() -> None:
    """With its three secrets given, config/production.toml is accepted, and complains when they are missing."""
    secrets = {"SOLVAPAY_SECRET_KEY": "sk_x", "METER_KAFKA__SASL_PASSWORD": "x", "METER_HTTP__TOKEN": "x"}
    settings = load(CONFIG / "production.toml", secrets, needs_secret_key=True)
    assert settings.kafka.security_protocol == "SASL_SSL"
    assert len(faults(CONFIG / "production.toml", needs_secret_key=True)) == 3
