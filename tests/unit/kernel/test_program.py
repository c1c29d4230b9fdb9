"""Programs of system calls: in order, with what calls return passed on, ended by the first failure that was not
expected; by the machine's own loop and by the interpreter's, which are the same to whoever asks.
"""

import errno
import os
from array import array
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.errors import KernelError
from supervisor.kernel import calls, program
from supervisor.kernel.program import CallError, Program, Slot, Words, call, pack, run, slots

HERE, THERE = Slot(1), Slot(2)


@pytest.fixture(autouse=True, params=["machine", "interpreter"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "interpreter":
        monkeypatch.setattr(program, "_GO", None)
    elif not program._GO:
        pytest.skip("no code for this machine")


def ran(calls: Program, here: int = -1) -> "array[int]":
    held = slots(2)
    held[HERE] = here
    run(pack(calls), held)
    return held


def test_what_a_call_returns_is_an_argument_of_the_next(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    steps = (
        calls.open_path(str(tmp_path), os.O_PATH, keep=HERE),
        calls.resolve(HERE, "sub", os.O_PATH, keep=THERE),
        call("mkdirat", THERE, b"deep", 0o755),
        *calls.close(HERE, THERE),
    )
    _, here, there = ran(steps)
    assert (tmp_path / "sub/deep").is_dir()
    for descriptor in (here, there):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


def test_a_failure_ends_it_and_says_which_call_and_about_what(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    steps = (
        calls.open_path(missing, os.O_PATH, keep=HERE),
        call("mkdirat", -100, os.fsencode(missing), 0o755),
    )
    with pytest.raises(KernelError) as raised:
        ran(steps)
    assert (raised.value.call, raised.value.errno, raised.value.path) == ("openat", errno.ENOENT, missing)
    assert not Path(missing).exists()


def test_a_failure_is_told_by_the_name_that_it_was_given() -> None:
    with pytest.raises(KernelError, match=r"^idmap: "):
        ran((call("close", -1, told="idmap"),))


def test_an_expected_error_passes_over_as_many_calls_as_belong_to_it(tmp_path: Path) -> None:
    place = os.open(tmp_path, os.O_PATH)
    steps = (
        calls.resolve(HERE, "absent", os.O_PATH, keep=THERE, passes=((errno.ENOENT, 2),)),
        call("mkdirat", HERE, b"one", 0o755),
        call("mkdirat", HERE, b"two", 0o755),
        call("mkdirat", HERE, b"three", 0o755),
        *calls.close(HERE),
    )
    assert ran(steps, place)[THERE] == -1
    assert [one.name for one in tmp_path.iterdir()] == ["three"]


def test_a_struct_points_to_bytes_and_is_made_beforehand_where_no_slot_is_in_it() -> None:
    nothing_valid = Words((1, bytes(b"\xff" * 8)))  # struct sock_fprog
    with pytest.raises(KernelError) as raised:
        ran((call("seccomp", 1, 0, nothing_valid),))
    assert raised.value.errno == (errno.EACCES if os.geteuid() else errno.EINVAL)  # not EFAULT: it was read


def test_another_result_than_the_expected_one_is_a_refusal() -> None:
    with pytest.raises(KernelError) as raised:
        ran((call("umask", 0o022), call("umask", 0o022, expected=0o777, path="umask")))
    assert (raised.value.errno, raised.value.path) == (errno.EPERM, "umask")


def test_a_struct_has_slots_among_its_words(tmp_path: Path) -> None:
    written = tmp_path / "file"
    file = os.open(written, os.O_WRONLY | os.O_CREAT, 0o600)
    ran((call("write", HERE, Words((7, HERE, 9)), 24, expected=24), *calls.close(HERE)), file)
    assert written.read_bytes() == b"".join(one.to_bytes(8, "little") for one in (7, file, 9))


def test_a_folder_is_made_if_it_is_missing_and_never_found_through_a_link(tmp_path: Path) -> None:
    place = os.open(tmp_path, os.O_PATH)
    (tmp_path / "link").symlink_to("/")
    for _ in range(2):
        ran((*calls.folder(HERE, "made", "/made", keep=THERE), *calls.close(THERE)), place)
    assert (tmp_path / "made").is_dir()
    with pytest.raises(KernelError) as raised:
        ran(calls.folder(HERE, "link", "/link", keep=THERE), place)
    assert raised.value.errno == errno.ELOOP
    os.close(place)


def test_a_failure_says_at_which_position_it_was() -> None:
    with pytest.raises(CallError) as raised:
        ran((call("umask", 0o022), call("close", -1), call("umask", 0o022)))
    assert raised.value.at == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40), st.binary(max_size=40))
def test_bytes_of_any_length_are_where_their_pointers_lead(first: bytes, second: bytes) -> None:
    reader, writer = os.pipe()
    ran(
        tuple(call("write", HERE, one, len(one), expected=len(one)) for one in (first, second, first)), writer
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        assert file.read() == first + second + first
