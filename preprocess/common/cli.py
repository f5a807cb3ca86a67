"""The frame around every command: options in, exit code out, one line for a user's mistake."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TextIO, TypeVar

import tyro

from preprocess.common.errors import InputError

OptionsT = TypeVar("OptionsT")
EXIT_INPUT_ERROR = 2
MAKE_ROOM = "make room or choose another --out; what was finished is kept, run again to resume"
NOT_ALLOWED = "change who may read and write it, or name another path"
NO_FOLDER = "a file stands where a folder belongs, or a folder where a file does: name another path"
DISK_ERRORS = {
    errno.ENOSPC: MAKE_ROOM,
    errno.EDQUOT: MAKE_ROOM,
    errno.EROFS: NOT_ALLOWED,
    errno.EACCES: NOT_ALLOWED,
    errno.EPERM: NOT_ALLOWED,
    errno.ENOTDIR: NO_FOLDER,
    errno.EISDIR: NO_FOLDER,
    errno.EEXIST: NO_FOLDER,
    errno.ENAMETOOLONG: "choose a shorter name",
}
"""What the disk may say of paths that the user gave, and what to do."""


def parse(options_type: type[OptionsT], arguments: list[str], default: OptionsT | None = None) -> OptionsT:
    """Read the command line into a dataclass of options.

    Raises:
        InputError: an argument is wrong. The message is one line.
    """
    shown = io.StringIO()
    try:
        with contextlib.redirect_stderr(shown):
            if default is None:
                return tyro.cli(options_type, args=arguments)
            return tyro.cli(options_type, args=arguments, default=default)
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        raise InputError(one_line(shown.getvalue())) from None


def parse_known(options_type: type[OptionsT], arguments: list[str]) -> OptionsT:
    """Read only the options of `options_type`, passing over all others, --help included."""
    known, _ = tyro.cli(options_type, args=arguments, add_help=False, return_unknown_args=True)
    return known


def one_line(box: str) -> str:
    """What tyro says of a wrong argument, in a frame of several lines, as one line without the frame."""
    lines = [line.strip("│╭╰╮╯─ ") for line in box.splitlines()[1:]]
    said = " ".join(lines[: lines.index("")] if "" in lines else lines).strip().rstrip(".")
    return f"{said}. --help lists the options"


def run(main: Callable[[OptionsT], int], options_type: type[OptionsT]) -> NoReturn:
    """Read the command line into options and run the command; see `run_parsed`."""
    run_parsed(main, lambda arguments: parse(options_type, arguments))


def run_parsed(main: Callable[[OptionsT], int], parser: Callable[[list[str]], OptionsT]) -> NoReturn:
    """Parse, call `main`, exit with its code: 2 and one line on a user's mistake or what the disk refuses, 130 on Ctrl-C,
    141 when nobody reads the output any more, as behind `| head`. A bug keeps its traceback."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        arguments = sys.argv[1:]
        try:
            code: str | int | None = main(parser(arguments))
        except SystemExit as stop:  # --help
            code = stop.code
        sys.stdout.flush()
        sys.exit(code)
    except InputError as error:
        fail(str(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError) and nobody_reads(sys.stdout):
            sys.exit(128 + signal.SIGPIPE)
        if error.errno not in DISK_ERRORS:
            raise
        fail(f"{error.filename or 'the output'}: {error.strerror}: {DISK_ERRORS[error.errno]}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def nobody_reads(output: TextIO) -> bool:
    """Whether the other end of an output's pipe is closed. If so, drops what is left to write."""
    poll = select.poll()
    poll.register(output, 0)  # 0: only what goes wrong
    if not poll.poll(0):
        return False
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), output.fileno())
    return True


def fail(message: str) -> NoReturn:
    """Print one line and exit with 2."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        if not nobody_reads(sys.stdout):
            raise
    print(f"error: {message}", file=sys.stderr)
    sys.exit(EXIT_INPUT_ERROR)
