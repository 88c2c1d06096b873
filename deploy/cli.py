"""The ``airtune`` command: which subcommand, what it ended with, and one line for what went wrong."""

from __future__ import annotations

import argparse
import difflib
import errno
import importlib
import importlib.metadata
import importlib.util
import io
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import NoReturn

from protocol.errors import INTERRUPTED_EXIT_CODE, AirtuneError, ConfigurationError, MissingPartError, StorageError

COMMANDS = {
    "demo": "the default experiment on a simulated radio at IQ level",
    "run": "run an experiment on this machine: base station, clients and radio",
    "base-station": "run the base station of an experiment; clients join over the network",
    "client": "run one or several clients of an experiment",
    "keys": "make the key files of an experiment",
    "plan": "choose LoRA rank and V before training (TSFA offline)",
    "allocate": "decide resource blocks and bits of one round (TSFA online)",
    "update": "encode, decode and inspect updates as files (SOFT)",
    "link": "measure the radio link, or look at a burst of a run",
    "report": "write the report of a run",
    "compare": "compare experiments, runs or a sweep; run what is missing",
    "runs": "list the runs of a directory",
    "campaign": "measure channels over time and place, and use them again",
    "doctor": "check this machine and its Plutos, and say what mends what is wrong",
    "calibrate": "measure Plutos joined by cables; drivers use the result",
    "virtual-pluto": "serve virtual ADALM-Plutos, joined by a simulated medium",
}
"""Subcommands with one line each; the module of a command is imported only when it is chosen."""

_EPILOG = """example: airtune demo --rounds 3
exit codes: docs/exit-codes.md"""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ours: one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message}; see: {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the process's) and return the exit code (docs/exit-codes.md)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = _take_debug(arguments)
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s"
    )
    _end_like_ctrl_c()
    _replace_unwritable()
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        print("airtune: interrupted", file=sys.stderr)
        return INTERRUPTED_EXIT_CODE
    except BrokenPipeError:  # the reader of our output has gone (`airtune runs | head`)
        _drop_output()
        return 0
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _tell(error)


def _run(arguments: list[str]) -> int:
    """The exit code, once all that was said is out: what fails later, Python would tell in its own way."""
    try:
        code = _dispatch(arguments)
    except SystemExit as end:  # --help and --version
        code = int(end.code or 0)
    sys.stdout.flush()
    return code


def _dispatch(arguments: list[str]) -> int:
    name = next((a for a in arguments if not a.startswith("-")), None)
    if name is None:
        return _overview(arguments)
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.0)[0]
        raise ConfigurationError(f"unknown command '{name}'; the nearest is '{near}'; see: airtune --help")
    parser, subparsers = _parser()
    module = importlib.import_module(f"deploy.commands.{name.replace('-', '_')}")
    module.add_parser(subparsers)
    code: int = module.run(parser.parse_args(arguments))
    return code


def _overview(arguments: list[str]) -> int:
    """No command: the options that need none, or the help on stderr as a usage error."""
    parser, subparsers = _parser()
    for name, line in COMMANDS.items():
        subparsers.add_parser(name, help=line)
    if not arguments:
        parser.print_help(sys.stderr)
        return ConfigurationError.exit_code
    parser.parse_args(arguments)
    raise ConfigurationError("a command is missing; see: airtune --help")


def _parser() -> tuple[_Parser, argparse._SubParsersAction[_Parser]]:
    parser = _Parser(
        prog="airtune",
        description="Federated LoRA fine-tuning over software-defined radio.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"airtune {importlib.metadata.version('airtune')}")
    parser.add_argument("--debug", action="store_true", help="with any command: log more, show tracebacks")
    return parser, parser.add_subparsers(metavar="COMMAND")


def _take_debug(arguments: list[str]) -> bool:
    """Take ``--debug`` out of the arguments, wherever it stands."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    found = "--debug" in arguments[:end]
    arguments[:end] = [a for a in arguments[:end] if a != "--debug"]
    return found


def _end_like_ctrl_c() -> None:
    """SIGTERM and a closed terminal end us as Ctrl-C does: children are ended first."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)


def _replace_unwritable() -> None:
    """A character that the terminal's encoding lacks becomes ``?``, which keeps JSON valid; stderr escapes it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _tell(error: Exception) -> int:
    """Print the one line of ``error`` and return its exit code."""
    known = _known(error)
    text = f"unexpected {type(error).__name__}: {error}; --debug shows where" if known is None else str(known)
    print(f"airtune: {' '.join(text.split())}", file=sys.stderr)
    return AirtuneError.exit_code if known is None else known.exit_code


def _drop_output() -> None:
    """What stdout still holds cannot be written; without this Python tries again as it ends, and fails."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _known(error: Exception) -> AirtuneError | None:
    """``error`` as one of our tree, None if its cause is not known."""
    if isinstance(error, AirtuneError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        _drop_output()
        return StorageError(f"{error.filename or 'the disk'}: no space left; free some and try again")
    if isinstance(error, ModuleNotFoundError) and error.name and not _is_installed(error.name):
        return MissingPartError(f"the Python package '{error.name}' is missing; run: make setup")
    return None


def _is_installed(module: str) -> bool:
    """Whether the package that ``module`` is of is there (then its absence is a fault of ours)."""
    return importlib.util.find_spec(module.partition(".")[0]) is not None
