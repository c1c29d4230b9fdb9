"""The one door: a path goes in, a Configuration or every problem comes out."""

import os
import re
import tomllib
from collections.abc import Mapping

from supervisor.config.files import UnreadableError, list_files, read_text
from supervisor.config.parse import Document, parse
from supervisor.config.place import Source
from supervisor.config.positions import find_positions
from supervisor.config.settings import without_root
from supervisor.config.values import normal
from supervisor.core.rundir import default_runtime_dir
from supervisor.core.spec import Configuration
from supervisor.errors import ConfigError, Problem

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def load(
    path: str, *, cwd: str | None = None, root: bool = True, environ: Mapping[str, str] | None = None
) -> Configuration:
    """Everything that `path` declares: a folder's *.toml files (sorted, not recursive, no hidden ones) or one file.

    `cwd` (default: the working directory) is where a relative `path` begins and `logs` lies by default; `root`
    tells whether the supervisor will run as root, and `environ` (default: os.environ) has XDG_RUNTIME_DIR for
    when it will not. Raises ConfigError with every problem, sorted by file, line and key, files named as
    `path` names them.
    """
    here = normal(os.path.join(os.getcwd(), cwd or "."))
    problems: list[Problem] = []
    try:
        names = list_files(path, here)
    except UnreadableError as error:
        raise ConfigError((Problem(path, 0, "", str(error)),)) from error
    documents = [document for name in names if (document := _read(name, here, problems)) is not None]
    told = (os.environ if environ is None else environ).get("XDG_RUNTIME_DIR", "")
    runtime_dir = default_runtime_dir(told, os.getuid(), root=root)
    configuration = parse(documents, cwd=here, runtime_dir=runtime_dir)
    if problems:
        raise ConfigError(tuple(sorted(set(problems))))
    return configuration if root else without_root(configuration)


def _read(name: str, cwd: str, problems: list[Problem]) -> Document | None:
    real = os.path.join(cwd, name)
    try:
        text = read_text(real)
    except UnreadableError as error:
        problems.append(Problem(name, error.line, "", str(error)))
        return None
    try:
        tables = tomllib.loads(text)
        lines = find_positions(text)
    except tomllib.TOMLDecodeError as error:
        problems.append(_syntax_problem(name, text, str(error)))
    except RecursionError:
        problems.append(Problem(name, 0, "", "is nested too deeply"))
    except ValueError as error:
        # tomllib lets int() speak for itself about numbers of thousands of digits.
        problems.append(Problem(name, 0, "", f"is not TOML: {error}"))
    else:
        return Document(Source(name, os.path.dirname(normal(real)), lines, problems), tables)
    return None


def _syntax_problem(name: str, text: str, error: str) -> Problem:
    """Find the place, which tomllib tells in words only (until 3.14)."""
    match = _AT.search(error)
    line = int(match[1]) if match and match[1] else text.count("\n") + 1
    column = f" (column {match[2]})" if match and match[2] else " (at the end of the file)"
    return Problem(name, line, "", f"is not TOML: {_AT.sub('', error)}{column}")
