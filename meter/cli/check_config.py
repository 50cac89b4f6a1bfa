"""`meter check-config`: would `meter run` start with this configuration, and what does it change?"""

from typing import TYPE_CHECKING

from meter.cli.configuration import ConfigOption, config_file, read_settings

if TYPE_CHECKING:  # see meter/cli/configuration.py
    from meter.settings import Settings


def check_config(config: ConfigOption = None) -> None:
    """Check the configuration, and show what differs from the defaults."""
    settings = read_settings(config)
    import typer

    from meter.settings.checks import MISSING_KEY

    path = config_file(config)
    typer.echo(f"ok: {path if path is not None else 'no configuration file, defaults and environment only'}")
    rows = differences(settings)
    width = max((len(option) for option, _, _ in rows), default=0)
    for option, value, default in rows:
        typer.echo(f"  {option:<{width}}  {value}" + (f"  (default: {default})" if default else ""))
    if not rows:
        typer.echo("  nothing differs from the defaults")
    if settings.billing.secret_key is None:
        typer.echo(f"note: `meter run` needs one more thing: {MISSING_KEY}")


def differences(settings: "Settings") -> list[tuple[str, str, str]]:
    """(option, value, default) of everything that differs from the defaults; secrets masked."""
    from meter.settings import Settings
    from meter.settings.options import every_option

    defaults, rows = Settings(), []
    for name, _ in every_option():
        section, _, option = name.partition(".")
        value, default = (getattr(getattr(one, section), option) for one in (settings, defaults))
        if value != default:
            rows.append((name, str(value), "" if default is None else str(default)))
    return rows
