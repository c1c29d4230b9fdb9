"""The env_file of a container: KEY=VALUE lines, `#` comments, optional quotes around a whole value.

Nothing is expanded and nothing is escaped: what stands there is what the program gets.
"""

import os.path

from supervisor.config.files import UnreadableError, read_text
from supervisor.config.place import Place, Source
from supervisor.config.shapes import BROKEN
from supervisor.config.values import WrongError, env_name, env_value, normal, path, show
from supervisor.errors import Problem


def read_env_file(value: object, place: Place) -> tuple[tuple[str, str], ...]:
    """The variables of the file that `value` names, relative to the file that names it.

    Its problems are told with the env file's own name and lines.
    """
    name = path(value)
    real = normal(os.path.join(place.source.folder, name))
    shown = os.path.join(os.path.dirname(place.source.name), name)
    try:
        content = read_text(real)
    except UnreadableError as error:
        raise WrongError(f"{show(name)} {error}") from error
    source = Source(shown, os.path.dirname(real), problems=place.source.problems)
    before = len(source.problems)
    variables = parse_env(content, source)
    return tuple(variables.items()) if len(source.problems) == before else BROKEN


def parse_env(content: str, source: Source) -> dict[str, str]:
    """The variables of a text; a later line wins over an earlier one. Reports to `source`."""
    variables: dict[str, str] = {}
    for number, line in enumerate(content.split("\n"), 1):
        text = line.strip(" \t\r")
        if not text or text.startswith("#"):
            continue
        try:
            name, value = _split(text)
            variables[env_name(name)] = env_value(value)
        except WrongError as wrong:
            source.problems.append(Problem(source.name, number, "", str(wrong)))
    return variables


def _split(text: str) -> tuple[str, str]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise WrongError("this line is not a variable (write NAME=value)")  # unshown: it may be a secret
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
    return name, value[1:-1] if quoted else value
