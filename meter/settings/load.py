"""From file and environment to `Settings`, or to every fault at once, each named as its owner wrote it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from meter.errors import BadConfiguration
from meter.settings import checks, sources
from meter.settings.options import SECRETS, Settings
from meter.settings.sources import Given


def load(config_file: Path | None, environ: Mapping[str, str], *, needs_secret_key: bool = False) -> Settings:
    """Defaults < file < provider's variables < `METER_*`; `BadConfiguration` carries all faults, never a secret.

    `needs_secret_key`: a missing `billing.secret_key` is a fault (for `meter run`).
    """
    given, faults = sources.read(config_file, environ)
    wrong, sentences = _wrong_values(given)
    sound = {option: value for option, value in given.items() if option not in wrong}
    settings = Settings.model_validate(_nested(sound))
    # A check whose own options are already named above would only repeat the same mistake.
    found = checks.faults(settings)
    faults += sentences + [_as_written(fault, given) for fault in found if wrong.isdisjoint(fault.about)]
    if needs_secret_key and settings.billing.secret_key is None and "billing.secret_key" not in wrong:
        faults.append(checks.MISSING_KEY)
    if faults:
        raise BadConfiguration(faults)
    return settings


def _wrong_values(given: Mapping[str, Given]) -> tuple[frozenset[str], list[str]]:
    """The options whose values break their own bounds, and a sentence about each."""
    try:
        Settings.model_validate(_nested(given))
    except ValidationError as error:
        wrong = dict.fromkeys(".".join(map(str, fault["loc"][:2])) for fault in error.errors())
        # An option whose default is derived from a wrong one is not wrong itself.
        wrong = {option: None for option in wrong if option in given}
        return frozenset(wrong), [_sentence(option, given[option]) for option in wrong]
    return frozenset(), []


def _sentence(option: str, given: Given) -> str:
    if option in SECRETS or "@" in str(given.value):  # an address with a password in it is a secret as well
        return f"{given.name} is not usable: it must be {allowed(option)}"
    shown = str(given.value).lower() if isinstance(given.value, bool) else repr(given.value)
    return f"{given.name} is {shown[:100]}: it must be {allowed(option)}"


def _as_written(fault: checks.Fault, given: Mapping[str, Given]) -> str:
    """Each option under the name by which it was given."""
    sentence = fault.sentence
    for option in fault.about:
        if option in given:
            sentence = sentence.replace(option, given[option].name)
    return sentence


def _nested(given: Mapping[str, Given]) -> dict[str, dict[str, object]]:
    sections: dict[str, dict[str, object]] = {}
    for name, (value, _) in given.items():
        section, _, option = name.partition(".")
        sections.setdefault(section, {})[option] = value
    return sections


def allowed(option: str) -> str:
    """What `section.option` may be, in words."""
    section, _, name = option.partition(".")
    model = Settings.model_fields[section].annotation
    assert model is not None  # noqa: S101  # narrows for mypy: every section is a model
    schema: dict[str, Any] = model.model_json_schema()["properties"][name]
    schema = next((choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"), schema)
    if "allowed" in schema:
        return str(schema["allowed"])
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if schema["type"] == "boolean":
        return "true or false"
    return _number(schema, "a whole number" if schema["type"] == "integer" else "a number of seconds")


def _number(schema: Mapping[str, Any], kind: str) -> str:
    most = schema.get("maximum")
    if "exclusiveMinimum" in schema:
        return f"{kind} above {schema['exclusiveMinimum']:g}" + (f", at most {most:g}" if most is not None else "")
    least = schema.get("minimum", 0)
    return f"{kind} from {least:g} to {most:g}" if most is not None else f"{kind}, at least {least:g}"
