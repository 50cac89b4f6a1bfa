"""The command line: which commands there are, and which exit code an error becomes.

Each command is a function in a module of its own that imports what it needs when it is called, so that
`meter --help` answers at once.
"""

import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from meter import __version__
from meter.cli.audit import audit
from meter.cli.call import call
from meter.cli.check_config import check_config
from meter.cli.dead_letters import dead_letters
from meter.cli.demo import demo
from meter.cli.explain import explain
from meter.cli.kafka import kafka
from meter.cli.limits import limits
from meter.cli.replay import replay
from meter.cli.run import run
from meter.cli.sandbox import sandbox
from meter.cli.send import send
from meter.cli.status import status
from meter.errors import BadConfiguration, CommandFailed, MeterError, Unavailable, UserMistake

FAILED, MISTAKEN, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="meter",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example:  meter demo   or   meter send events.jsonl && meter status",
)

RUN, TRY, LOOK = "Run it", "Try it", "Look into it"

app.command("run", rich_help_panel=RUN)(run)
app.command("check-config", rich_help_panel=RUN)(check_config)
app.command("demo", rich_help_panel=TRY)(demo)
app.command("kafka", rich_help_panel=TRY)(kafka)
app.command("sandbox", rich_help_panel=TRY)(sandbox)
app.command("send", rich_help_panel=TRY)(send)
app.command("status", rich_help_panel=LOOK)(status)
app.command("limits", rich_help_panel=LOOK)(limits)
app.command("call", rich_help_panel=LOOK)(call)
app.command("audit", rich_help_panel=LOOK)(audit)
app.command("explain", rich_help_panel=LOOK)(explain)
app.command("replay", rich_help_panel=LOOK)(replay)
app.add_typer(dead_letters, name="dead-letters", rich_help_panel=LOOK)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"meter {__version__}")
        raise typer.Exit


@app.callback()
def _meter(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Usage events from Kafka, billed by the provider, each exactly once or visibly parked.

    Start with `meter demo`; run it for real with `meter run`.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 ok, 1 failed, 2 a mistake in configuration or usage, 130 interrupted."""
    # A command says in its own words what went wrong; only `meter run` sets up a log for its libraries as well.
    logging.getLogger().addHandler(logging.NullHandler())
    sys.exit(_exit_code(arguments))


def _exit_code(arguments: Sequence[str] | None) -> int:
    try:
        result = app(args=arguments, prog_name="meter", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        return _say(_usage_mistake(error), error.exit_code)
    except BadConfiguration as error:
        return _say("\n".join(error.faults), MISTAKEN)
    except UserMistake as error:
        return _say(str(error), MISTAKEN)
    except (CommandFailed, Unavailable) as error:
        return _say(str(error), FAILED)
    except MeterError as error:
        return _say(f"{type(error).__name__}: {error}", FAILED)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return _reader_is_gone()
    return result if isinstance(result, int) else 0


def _usage_mistake(error: typer.TyperException) -> str:
    """One sentence; none for a bare command, which has printed its help."""
    message = error.format_message()
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "meter"
    return f"{message} (try: {command} --help)" if message else ""


def _say(sentence: str, code: int) -> int:
    """To stderr, every line with our name in front so that it is found in a log of many programs."""
    for line in sentence.splitlines():
        sys.stderr.write(f"meter: {line}\n")
    return code


def _reader_is_gone() -> int:
    """`meter ... | head` is no failure of ours; Python must not complain while it closes stdout either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED
