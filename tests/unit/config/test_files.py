"""Bad folders and files: what cannot be read, or is declared twice, is told with its place, all at once."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.config.load import load
from supervisor.core.spec import Configuration
from supervisor.errors import ConfigError

WEB = '[container.web]\nrootfs = "host"\nuserns = "host"\ncommand = ["/bin/true"]\n'
Write = Callable[..., None]
Read = Callable[..., Configuration]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def files(**texts: str) -> None:
        for name, text in texts.items():
            path = tmp_path / "configs" / f"{name}.toml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    return files


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def run(path: str = "configs/") -> Configuration:
        return load(path, cwd=str(tmp_path), environ={})

    return run


def test_a_missing_folder_is_a_problem(read: Read) -> None:
    with pytest.raises(ConfigError, match=r"^nowhere: cannot be read: No such file or directory$"):
        read("nowhere")


def test_a_folder_without_files_is_a_problem(read: Read, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"^empty: holds no \*\.toml file"):
        read("empty")


def test_files_are_shown_as_the_user_named_them(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(web="x = 1\n")
    monkeypatch.chdir(tmp_path)
    for named, shown in (
        ("configs", "configs/web.toml"),
        ("./configs/", "./configs/web.toml"),
        ("configs/web.toml",) * 2,
    ):
        with pytest.raises(ConfigError) as caught:
            load(named)
        assert [problem.file for problem in caught.value.problems] == [shown]


def test_all_problems_come_at_once_sorted_by_file_and_line(write: Write, read: Read) -> None:
    write(b="[container.x]\nfoo = 1\nbar = 2\n", a="[container.y\n")
    with pytest.raises(ConfigError) as caught:
        read()
    places = [(problem.file, problem.line) for problem in caught.value.problems]
    assert places == sorted(places)
    assert places[0] == ("configs/a.toml", 1)
    assert {place for place in places if place[0].endswith("b.toml")} == {
        ("configs/b.toml", line) for line in (1, 2, 3)
    }


def test_the_line_of_spec_is_printed_as_spec_prints_it(write: Write, read: Read) -> None:
    write(web=WEB + "\n" * 6 + '[container.web.cgroup]\ncpu.max = "10x"\n')
    with pytest.raises(ConfigError) as caught:
        read()
    assert str(caught.value) == (
        'configs/web.toml:12: container.web.cgroup.cpu.max: "10x" is not a CPU limit '
        '(use "10%", 0.5 CPUs, or "QUOTA PERIOD")'
    )


def test_what_defaults_get_wrong_is_told_once(write: Write, read: Read) -> None:
    write(a="[defaults]\ninit = 1\n" + WEB + WEB.replace("web", "db"))
    with pytest.raises(ConfigError) as caught:
        read()
    assert [str(problem) for problem in caught.value.problems] == [
        "configs/a.toml:2: defaults.init: 1 is not a flag (write true or false)"
    ]


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"a = \xff\n", "1: is not UTF-8 (byte 0xff)"),
        (b"\n\na = 1 = 2\n", "3: is not TOML: "),
        (b"a = [\n\n", "3: is not TOML: "),
        (b"a = " + b"[" * 100_000, "is nested too deeply"),
        (b"a = " + b"9" * 10_000, "is not TOML: "),
        (b"#" * ((1 << 20) + 1), "is larger than 1 MiB"),
    ],
)
def test_files_that_are_no_toml_are_problems(
    write: Write, read: Read, tmp_path: Path, content: bytes, fragment: str
) -> None:
    write(web=WEB)
    (tmp_path / "configs" / "bad.toml").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read()
    (problem,) = caught.value.problems
    assert problem.file == "configs/bad.toml"
    assert fragment in str(problem)


def test_what_is_no_file_is_a_problem_and_not_waited_for(write: Write, read: Read, tmp_path: Path) -> None:
    write(web=WEB)
    os.mkfifo(tmp_path / "configs" / "fifo.toml")
    (tmp_path / "configs" / "folder.toml").mkdir()
    (tmp_path / "configs" / "gone.toml").symlink_to("nowhere")
    with pytest.raises(ConfigError) as caught:
        read()
    assert [problem.text for problem in caught.value.problems] == [
        "is not a regular file",
        "cannot be read: Is a directory",
        "cannot be read: No such file or directory",
    ]


def test_an_env_file_is_blamed_by_its_own_name_and_line(write: Write, read: Read, tmp_path: Path) -> None:
    write(web=WEB + 'env_file = "bad.env"\n')
    (tmp_path / "configs" / "bad.env").write_text("A=1\nsecret\n2B=1\nC=a\x07b\n")
    with pytest.raises(ConfigError) as caught:
        read()
    assert [(problem.file, problem.line) for problem in caught.value.problems] == [
        ("configs/bad.env", line) for line in (2, 3, 4)
    ]
    assert "secret" not in str(caught.value)


def test_containers_declared_in_two_files_name_both(write: Write, read: Read) -> None:
    write(a=WEB, b="\n" + WEB)
    with pytest.raises(ConfigError) as caught:
        read()
    assert (
        str(caught.value)
        == "configs/b.toml:2: container.web: is declared twice; the first is at configs/a.toml:1"
    )


@pytest.mark.parametrize("table", ["supervisor", "defaults"])
def test_a_second_table_of_the_folder_names_the_first(write: Write, read: Read, table: str) -> None:
    write(a=f"[{table}]\n", b=f"\n\n[{table}]\n")
    with pytest.raises(ConfigError) as caught:
        read()
    assert (
        str(caught.value)
        == f"configs/b.toml:3: {table}: a second [{table}] table; the first is at configs/a.toml:1"
    )


def test_every_error_of_a_line_fits_on_one_line(write: Write, read: Read) -> None:
    write(a='[container.web]\n"a\\nb" = 1\nhostname = "\\u001b[2J\\u202e"\n')
    with pytest.raises(ConfigError) as caught:
        read()
    assert all(str(problem).isprintable() for problem in caught.value.problems)
