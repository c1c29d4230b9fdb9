"""Every key that tomllib gives has its line, and nothing inside a string or comment is taken for a key."""

import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.config.positions import find_positions


def test_keys_of_tables_stand_on_their_own_lines() -> None:
    found = find_positions("# first\n[a]\nx = 1\n\n[a.b]  # two\ny = 2\nz.w = 3\n")
    assert found == {
        ("a",): 2,
        ("a", "x"): 3,
        ("a", "b"): 5,
        ("a", "b", "y"): 6,
        ("a", "b", "z"): 7,
        ("a", "b", "z", "w"): 7,
    }


def test_a_header_of_its_own_wins_over_an_implied_one() -> None:
    assert find_positions("[a.b]\n[a]\n")["a",] == 2


def test_elements_of_arrays_of_tables_are_counted() -> None:
    found = find_positions("[[m]]\nx = 1\n[[m]]\nx = 2\n[[m.n]]\ny = 3\n[m.o]\nz = 4\n")
    assert (found["m",], found["m", 0, "x"], found["m", 1, "x"]) == (1, 2, 4)
    assert (found["m", 1, "n", 0, "y"], found["m", 1, "o", "z"]) == (6, 8)


def test_strings_of_many_lines_hide_what_looks_like_keys() -> None:
    text = 'a = """\nb = 1\n[c]\n\\""" d = 2\n""""\ne = \'\'\'\nf = """\n\'\'\'\ng = 1\n'
    assert find_positions(text) == {("a",): 1, ("e",): 6, ("g",): 9}
    assert set(tomllib.loads(text)) == {"a", "e", "g"}


def test_strings_hide_brackets_quotes_and_comments() -> None:
    text = 'a = "x # ] } \\" ,"\nb = [ "]", \'#"\' , # ]\n "}" ]\nc = { d = "}", "e.f" = \'{\' }\n'
    found = find_positions(text)
    assert (found["b", 0], found["b", 2], found["c", "d"], found["c", "e.f"]) == (2, 3, 4, 4)
    assert len(found) == 8


def test_arrays_of_many_lines_know_the_line_of_each_element() -> None:
    found = find_positions(
        "a = [\n  1,\n  { b = 2 }, # two\n\n  [3,\n  4],\n]\nc = 1979-05-27 07:32:00\nd = 1\n"
    )
    assert (found["a", 1, "b"], found["a", 2, 1], found["c",], found["d",]) == (3, 6, 8, 9)


def test_quoted_keys_are_unquoted() -> None:
    found = find_positions('"a.b" = 1\n\'c\' . "\\u00e9" = 2\n["x y"."]"]\n1.2 = 3\n"" = 4\n')
    assert found["a.b",] == 1
    assert found["c", "é"] == 2
    assert found["x y", "]", "1", "2"] == 4
    assert found["x y", "]", ""] == 5


def test_line_ends_of_windows_count_once() -> None:
    assert find_positions("a = 1\r\n[b]\r\nc = 2\r\n")["b", "c"] == 3


def test_a_text_that_is_no_toml_ends_the_walk_quietly() -> None:
    assert find_positions("a = 1\n= = =\nb = 2\n") == {("a",): 1}


WORDS = st.text(alphabet="ab.\"'\\#[]{}=,\n\té", max_size=5)
SCALARS = st.one_of(st.integers(0, 9), st.booleans(), st.floats(0, 1), WORDS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=8,
)


def quote(text: str) -> str:
    return (
        '"'
        + "".join(char if char.isalnum() or char in " .#[]{}=,'" else f"\\u{ord(char):04x}" for char in text)
        + '"'
    )


def inline(value: Any, draw: Any) -> str:
    gap = draw(st.sampled_from(["", " ", "\n", " # ] } x = 1\n"]))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quote(key)} = {inline(each, draw)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return f"[{gap}" + f",{gap}".join(inline(each, draw) for each in value) + f"{gap}]"
    if isinstance(value, str):
        if draw(st.booleans()):
            return '"""\n' + value.replace("\\", "\\\\").replace('"""', '""\\"').removesuffix('"') + '"""'
        return quote(value)
    return str(value).lower()


def lines(table: dict[str, Any], header: str, draw: Any) -> str:
    text, later = "", ""
    for key, value in table.items():
        name = quote(key)
        below = f"{header}.{name}" if header else name
        if isinstance(value, dict) and draw(st.booleans()):
            later += f"[{below}] # table\n" + lines(value, below, draw)
        elif isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            later += "".join(f"[[ {below} ]]\n" + lines(each, below, draw) for each in value)
        else:
            text += f"{name} = {inline(value, draw)}\n"
    return text + later


def paths(value: Any, keys: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = {keys} if keys else set()
    return found.union(*(paths(each, (*keys, key)) for key, each in inner))


@settings(deadline=None)
@given(st.dictionaries(WORDS, VALUES, max_size=4), st.data())
def test_exactly_the_keys_of_the_value_have_lines(value: dict[str, Any], data: st.DataObject) -> None:
    text = lines(value, "", data.draw)
    found = find_positions(text)
    assert set(found) == paths(tomllib.loads(text))
    assert all(1 <= line <= text.count("\n") + 1 for line in found.values())
