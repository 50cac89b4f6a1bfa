"""Where settings come from: the file, then the environment, merged; each value remembers how its owner named it."""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from meter.errors import BadConfiguration
from meter.settings.options import SECRETS, every_option

PREFIX = "METER_"
FOREIGN_VARIABLES = ("METER_TEST_", "METER_SANDBOX__")  # the tests' and the sandbox's own
FOREIGN_SECTION = "sandbox"
PROVIDER_VARIABLES = {"SOLVAPAY_SECRET_KEY": "billing.secret_key", "SOLVAPAY_API_BASE_URL": "billing.base_url"}


class Given(NamedTuple):
    """One value as somebody gave it, and the name under which it was given."""

    value: object
    name: str


class Sources(NamedTuple):
    """What was given (`section.option` -> value), and what is wrong with the way it was given."""

    given: dict[str, Given]
    faults: list[str]


def read(config_file: Path | None, environ: Mapping[str, str]) -> Sources:
    """File < the provider's own variables < `METER_<SECTION>__<OPTION>`.

    Raises `BadConfiguration` at once for a file that cannot be read: nothing else can be judged without it.
    """
    sources = Sources({}, [])
    if config_file is not None:
        _read_file(config_file, sources)
    _read_environment(environ, sources)
    return sources


def _read_file(path: Path, sources: Sources) -> None:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfiguration([f"{path} cannot be read: {(error.strerror or str(error)).lower()}"]) from None
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError
        raise BadConfiguration([f"{path} is not valid TOML: {_one_line(error)}"]) from None
    options, sections = _names()
    for section, content in table.items():
        if section == FOREIGN_SECTION:
            continue
        if not isinstance(content, dict):
            sources.faults.append(_misplaced(section, sections, options))
        elif section not in sections:
            sources.faults.append(_unknown_section(section, sections))
        else:
            _read_section(section, content, options, sources)


def _read_section(section: str, content: Mapping[str, object], options: list[str], sources: Sources) -> None:
    for option, value in content.items():
        name = f"{section}.{option}"
        if name in options:
            sources.given[name] = Given(value, name)
        else:
            sources.faults.append(_unknown_option(name, _closest(name, options)))


def _one_line(error: ValueError) -> str:
    """What is wrong and where, without the text around it, which may be a secret."""
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


def _misplaced(name: str, sections: list[str], options: list[str]) -> str:
    if name in sections:
        return f"{name} is a section: write [{name}] and its options below it"
    return _unknown_option(name, _closest(name, options))


def _unknown_section(section: str, sections: list[str]) -> str:
    suggestion = _closest(section, sections)
    return f"[{section}] is not a section" + (f"; did you mean [{suggestion}]?" if suggestion else "")


def _unknown_option(name: str, suggestion: str | None) -> str:
    return f"{name} is not an option" + (f"; did you mean {suggestion}?" if suggestion else "")


def _read_environment(environ: Mapping[str, str], sources: Sources) -> None:
    """An empty variable counts as one that is not set, as compose files and shells leave them behind."""
    options, _ = _names()
    ours = {variable_name(option): option for option in options}
    for name, option in (PROVIDER_VARIABLES | ours).items():
        value = _variable(name, option, environ, sources)
        if value is not None:
            sources.given[option] = value
    known = ours.keys() | {f"{name}_FILE" for name, option in ours.items() if option in SECRETS}
    for name in sorted(environ.keys() - known):
        if name.startswith(PREFIX) and not name.startswith(FOREIGN_VARIABLES):
            meant = _closest(name.removeprefix(PREFIX).lower().replace("__", ".", 1), options)
            sources.faults.append(_unknown_option(name, meant and variable_name(meant)))


def _variable(name: str, option: str, environ: Mapping[str, str], sources: Sources) -> Given | None:
    """The variable's value, or for a secret the content of the file that `<NAME>_FILE` points to."""
    plain = environ.get(name) or None
    file_name = f"{name}_FILE"
    path = environ.get(file_name) or None if option in SECRETS else None
    if plain is not None and path is not None:
        sources.faults.append(f"{name} and {file_name} are both set: set one of them")
        return None
    if path is None:
        return None if plain is None else Given(plain, name)
    try:
        secret = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        sources.faults.append(f"{file_name}: {path} cannot be read: {(why or 'unknown reason').lower()}")
        return None
    if not secret:
        sources.faults.append(f"{file_name}: {path} is empty")
        return None
    return Given(secret, file_name)


def variable_name(option: str) -> str:
    """`batch.max_events` as an environment variable."""
    return PREFIX + option.replace(".", "__", 1).upper()


def _names() -> tuple[list[str], list[str]]:
    options = [name for name, _ in every_option()]
    return options, list(dict.fromkeys(name.partition(".")[0] for name in options))


def _closest(name: str, names: list[str]) -> str | None:
    """The known name that was most likely meant: same option in another section first, then by spelling."""
    bare = name.rpartition(".")[2]
    for known in names:
        if known.rpartition(".")[2] == bare:
            return known
    for close in _close(name, bare, names):
        return close
    return None


def _close(name: str, bare: str, names: list[str]) -> Iterator[str]:
    yield from difflib.get_close_matches(name, names, n=1, cutoff=0.75)
    by_option = {known.rpartition(".")[2]: known for known in names}
    yield from (known for option, known in by_option.items() if option.startswith(f"{bare}_"))
    yield from (by_option[match] for match in difflib.get_close_matches(bare, by_option, n=1, cutoff=0.75))
