"""Errors, by who must act on them.

A failed launch is an event, not an exception; these are for the rest.
"""

from typing import NamedTuple


class SupervisorError(Exception):
    """Anything this program raises on purpose; its text is fit for an operator."""


class Problem(NamedTuple):
    """One thing wrong in a configuration, as `file:line: key: text`; line 0 means unknown."""

    file: str
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.key}: {self.text}" if self.key else f"{where}: {self.text}"


class ConfigError(SupervisorError):
    """The operator's files are wrong; carries every problem found."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class RequestError(SupervisorError):
    """A caller of the API asked for what cannot be done.

    code: "not-found" | "conflict" | "invalid" | "forbidden" | "unavailable" | "failed". `problems` are those of
    the operator's files, where it is them that are wrong.
    """

    def __init__(self, code: str, detail: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.problems = problems


class ProtocolError(SupervisorError):
    """Bytes on the helper's socket are not a message; the other side is at fault."""


class HelperError(SupervisorError):
    """The helper is gone or refused; the daemon must act."""


class KernelError(SupervisorError):
    """A system call failed: its name, errno and the path or object it was about."""

    def __init__(self, call: str, errno: int, path: str = "") -> None:
        # os is not imported here: the text of errno is added where it is shown.
        super().__init__(f"{call}: errno {errno}" + (f": {path}" if path else ""))
        self.call = call
        self.errno = errno
        self.path = path
