"""Lines of keys: tomllib tells values but not where they stand, so the text is walked once more.

The text must be TOML that tomllib accepted: this walk knows where keys and values begin and end, and
judges nothing. Should it ever lose its way it stops, and later keys go without a line of their own.
"""

import bisect
import contextlib
import re
import tomllib

from supervisor.config.place import Keys

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_KEY = re.compile(r"""[ \t]*(?:("(?:[^"\\\n]|\\.)*"|'[^'\n]*')|([A-Za-z0-9_-]+))[ \t]*""")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'  # up to two quotes may stand before the closing three
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]*")


class _LostError(Exception):
    """The walk met something it cannot read."""


def find_positions(text: str) -> dict[Keys, int]:
    """The line (from 1) of every key path of a TOML text, implied parents included.

    A table is where its header stands, an element of an array of tables where its own header stands,
    a key of an inline table on the line of that key.
    """
    walk = _Walk(text)
    with contextlib.suppress(_LostError):
        walk.document()
    return walk.found


class _Walk:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.breaks = [match.start() for match in re.finditer("\n", text)]
        self.found: dict[Keys, int] = {}
        self.lengths: dict[Keys, int] = {}  # of arrays of tables, by their path

    def document(self) -> None:
        table: Keys = ()
        while self._blank() < len(self.text):
            if self.text.startswith("[", self.at):
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Keys:
        """`[a.b]` or `[[a.b]]`; a name of an array of tables means its last element."""
        line, array = self._line(), self.text.startswith("[[", self.at)
        self.at += 2 if array else 1
        *parents, last = self._key()
        self._expect("]]" if array else "]")
        table: Keys = ()
        for name in parents:
            table = self._last((*table, name))
            self.found.setdefault(table, line)
        table = (*table, last)
        if array:
            self.found.setdefault(table, line)
            self.lengths[table] = self.lengths.get(table, 0) + 1
            table = self._last(table)
        # [a.b] implied [a] before; the header of its own is the better line.
        self.found[table] = line
        return table

    def _last(self, table: Keys) -> Keys:
        return (*table, self.lengths[table] - 1) if table in self.lengths else table

    def _pair(self, table: Keys) -> None:
        line = self._line()
        for name in self._key():
            table = (*table, name)
            self.found.setdefault(table, line)
        self._expect("=")
        self.at = self._match(_SPACE).end()
        self._value(table)

    def _value(self, keys: Keys) -> None:
        opening = self.text[self.at : self.at + 1]
        if opening == "[":
            self._array(keys)
        elif opening == "{":
            self._inline(keys)
        elif opening and opening in "\"'":
            self.at = self._match(_STRING).end()
        else:
            self.at = self._match(_SCALAR).end()

    def _array(self, keys: Keys) -> None:
        self.at += 1
        index = 0
        while not self._closed("]"):
            self.found[*keys, index] = self._line()
            self._value((*keys, index))
            index += 1

    def _inline(self, keys: Keys) -> None:
        self.at += 1
        while not self._closed("}"):
            self._pair(keys)

    def _closed(self, bracket: str) -> bool:
        """Step over blanks and one comma; tell whether the closing bracket was there, and step over it."""
        self._blank()
        if self.text.startswith(",", self.at):
            self.at += 1
            self._blank()
        if self.at >= len(self.text):
            raise _LostError
        closed = self.text.startswith(bracket, self.at)
        self.at += closed
        return closed

    def _key(self) -> list[str]:
        names = []
        while True:
            match = self._match(_KEY)
            self.at = match.end()
            names.append(tomllib.loads(f"key = {match[1]}")["key"] if match[1] else match[2])
            if not self.text.startswith(".", self.at):
                return names
            self.at += 1

    def _expect(self, mark: str) -> None:
        if not self.text.startswith(mark, self.at):
            raise _LostError
        self.at += len(mark)

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise _LostError
        return match

    def _blank(self) -> int:
        self.at = self._match(_BLANK).end()
        return self.at

    def _line(self) -> int:
        return bisect.bisect_left(self.breaks, self.at) + 1
