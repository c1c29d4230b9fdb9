"""Programs of system calls: in order, with what calls return passed on, ended by the first failure that was not
expected; by a zygote's child and by the interpreter, which are the same to whoever asks.
"""

import errno
import os
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.errors import KernelError
from supervisor.kernel import calls, zygote
from supervisor.kernel.image import LARGEST, assemble, pack
from supervisor.kernel.program import (
    ANY,
    ATTEMPTS,
    At,
    Call,
    CallError,
    Program,
    Slot,
    Words,
    call,
    compare,
    jump,
    move,
    run,
    slots,
)
from tests.support.borne import bear, slots_of, zygotes

HERE, THERE = Slot(4), Slot(5)
_RESULT, _AT = 0, 1
_COUNT = 64

Ran = Callable[..., "array[int]"]


@pytest.fixture(params=["zygote", "interpreter"])
def ran(request: pytest.FixtureRequest) -> Iterator[Ran]:
    """The slots that a program leaves; `here` is a descriptor, in HERE from the beginning."""
    if request.param == "interpreter":
        yield interpreted
        return
    with zygotes() as asked:

        def borne(program: Program, here: int = -1) -> "array[int]":
            more = (here,) if here >= 0 else ()
            whole = (_begin(zygote.USERNS if more else -1), *program, call("close", -1))
            one = bear(asked, whole, *more)
            held = slots_of(one.told())
            assert one.end() == zygote.FAILED
            at = held[_AT] - 1
            if at < len(program):
                raise CallError(program[at], -held[_RESULT], at)
            return held

        yield borne


def interpreted(program: Program, here: int = -1) -> "array[int]":
    held = slots(_COUNT)
    held[HERE] = here
    run(program, held)
    return held


def _begin(here: int) -> Call:
    return call("jump", here, 0, keep=HERE)


def test_what_a_call_returns_is_an_argument_of_the_next(ran: Ran, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    steps = (
        calls.open_path(str(tmp_path), os.O_PATH, keep=HERE),
        calls.resolve(HERE, "sub", os.O_PATH, keep=THERE),
        call("mkdirat", THERE, b"deep", 0o755),
        call("openat", THERE, b"deep", os.O_PATH, 0, keep=HERE),
        *calls.close(THERE),
        call("openat", THERE, b"deep", os.O_PATH, 0, passes=((errno.EBADF, 0),), keep=HERE),
    )
    assert ran(steps)[HERE] == -errno.EBADF
    assert (tmp_path / "sub/deep").is_dir()


def test_a_failure_ends_it_and_says_which_call_and_about_what(ran: Ran, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    steps = (
        calls.open_path(missing, os.O_PATH, keep=HERE),
        call("mkdirat", -100, os.fsencode(missing), 0o755),
    )
    with pytest.raises(KernelError) as raised:
        ran(steps)
    assert (raised.value.call, raised.value.errno, raised.value.path) == ("openat", errno.ENOENT, missing)
    assert not Path(missing).exists()


def test_a_failure_is_told_by_the_name_that_it_was_given(ran: Ran) -> None:
    with pytest.raises(KernelError, match=r"^idmap: "):
        ran((call("close", -1, told="idmap"),))


def test_an_expected_error_passes_over_as_many_calls_as_belong_to_it(ran: Ran, tmp_path: Path) -> None:
    place = os.open(tmp_path, os.O_PATH)
    steps = (
        calls.resolve(HERE, "absent", os.O_PATH, keep=THERE, passes=((errno.ENOENT, 2),)),
        call("mkdirat", HERE, b"one", 0o755),
        call("mkdirat", HERE, b"two", 0o755),
        call("mkdirat", HERE, b"three", 0o755),
    )
    assert ran(steps, place)[THERE] == -errno.ENOENT
    os.close(place)
    assert [one.name for one in tmp_path.iterdir()] == ["three"]


def test_a_struct_points_to_bytes_and_is_made_beforehand_where_no_slot_is_in_it(ran: Ran) -> None:
    nothing_valid = Words((1, bytes(b"\xff" * 8)))  # struct sock_fprog
    with pytest.raises(KernelError) as raised:
        ran((call("seccomp", 1, 0, nothing_valid),))
    assert raised.value.errno == (errno.EACCES if os.geteuid() else errno.EINVAL)  # not EFAULT: it was read


def test_another_result_than_the_expected_one_is_a_refusal(ran: Ran) -> None:
    with pytest.raises(KernelError) as raised:
        ran((call("umask", 0o022), call("umask", 0o022, expected=0o777, path="umask")))
    assert (raised.value.errno, raised.value.path) == (errno.EPERM, "umask")


def test_what_the_kernel_writes_into_slots_is_an_argument_too(ran: Ran, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"some words")
    file = os.open(tmp_path / "file", os.O_RDWR)
    steps = (
        call("read", HERE, At(8 * THERE), 16, keep=Slot(8), expected=10),
        call("pwrite64", HERE, At(8 * THERE + 5), 5, Slot(8), expected=5),
    )
    ran(steps, file)
    assert (tmp_path / "file").read_bytes() == b"some wordswords"
    os.close(file)


def test_an_expected_result_may_be_what_another_call_has_returned(ran: Ran) -> None:
    both = (call("umask", 0o027), call("umask", 0o022, keep=HERE), call("umask", 0o027))
    ran((*both, call("umask", 0, expected=0o027), call("umask", 0o027), call("umask", 0o022, expected=HERE)))
    with pytest.raises(KernelError, match="errno 1"):
        ran((*both, call("umask", 0o022, expected=Slot(9))))


def test_a_jump_passes_over_calls_unless_its_word_is_0(ran: Ran, tmp_path: Path) -> None:
    place = os.open(tmp_path, os.O_PATH)

    def make(name: str) -> Call:
        return call("mkdirat", HERE, name.encode(), 0o755)

    ran(
        (jump(1), make("a"), make("b"), jump(1, unless=Slot(9)), make("c"), jump(1, unless=HERE), make("d")),
        place,
    )
    assert {one.name for one in tmp_path.iterdir()} == {"b", "c"}
    os.close(place)


def test_what_is_moved_is_there_as_well(ran: Ran) -> None:
    assert ran((call("umask", 0o027), call("umask", 0o022, keep=HERE), move(HERE, THERE)))[THERE] == 0o027


@pytest.mark.parametrize(("size", "same"), [(0, True), (3, True), (4, False)])
def test_two_pieces_of_memory_are_the_same_or_it_is_a_refusal(ran: Ran, size: int, same: bool) -> None:
    steps = (compare(b"abcd", b"abcx", size, passes=((errno.EPERM, 1),)), call("umask", 0, keep=THERE))
    passed = ran((call("umask", 0o022), *steps))[THERE]
    assert passed == (0o022 if same else 0)
    if not same:
        with pytest.raises(KernelError, match="errno 1"):
            ran((compare(b"abcd", b"abcx", size),))


def test_each_of_two_expected_errors_and_any_passes_over_its_own(ran: Ran) -> None:
    for number, skipped in ((errno.ENOENT, 0), (errno.EBADF, 1), (errno.ENOTDIR, 2)):
        path, directory = {
            errno.ENOENT: (b"/nonexistent", -100), errno.EBADF: (b"x", -1), errno.ENOTDIR: (b"/dev/null/x", -100)
        }[number]  # fmt: skip
        first = ((errno.ENOENT, 0), (errno.EBADF, 1)) if skipped < 2 else ((errno.ENOENT, 0), (ANY, 2))
        opening = call("openat", directory, path, os.O_PATH, 0, passes=first)
        marks = tuple(call("jump", at + 1, 0, keep=Slot(20 + at)) for at in range(3))
        held = ran((opening, *marks))
        assert [held[20 + at] for at in range(3)] == [0] * skipped + list(range(skipped + 1, 4))


def test_what_is_to_be_asked_again_is_asked_so_often_and_no_more(ran: Ran, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", os.O_RDWR | os.O_NONBLOCK)
    with pytest.raises(CallError) as raised:
        ran((call("read", HERE, At(8 * THERE), 1),), fifo)
    assert raised.value.errno == errno.EAGAIN
    assert ATTEMPTS > 1
    os.close(fifo)


def test_a_folder_is_made_if_it_is_missing_and_never_found_through_a_link(ran: Ran, tmp_path: Path) -> None:
    place = os.open(tmp_path, os.O_PATH)
    (tmp_path / "link").symlink_to("/")
    for _ in range(2):
        ran((*calls.folder(HERE, "made", "/made", keep=THERE), *calls.close(THERE)), place)
    assert (tmp_path / "made").is_dir()
    with pytest.raises(KernelError) as raised:
        ran(calls.folder(HERE, "link", "/link", keep=THERE), place)
    assert raised.value.errno == errno.ELOOP
    os.close(place)


def test_a_failure_says_at_which_position_it_was(ran: Ran) -> None:
    with pytest.raises(CallError) as raised:
        ran((call("umask", 0o022), call("close", -1), call("umask", 0o022)))
    assert raised.value.at == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40), st.binary(max_size=40))
def test_bytes_of_any_length_are_where_their_pointers_lead(ran: Ran, first: bytes, second: bytes) -> None:
    reader, writer = os.pipe()
    ran(
        tuple(call("write", HERE, one, len(one), expected=len(one)) for one in (first, second, first)), writer
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        assert file.read() == first + second + first


def test_a_program_with_more_text_than_there_is_room_for_is_refused() -> None:
    with pytest.raises(KernelError) as raised:
        assemble((pack((call("write", 1, bytes(LARGEST), LARGEST),)),))
    assert raised.value.errno == errno.E2BIG


def test_segments_are_one_program() -> None:
    one, other = (call("umask", 0o022),), (call("openat", -100, b"/", os.O_PATH, 0), *calls.close(HERE))
    apart, whole = assemble((pack(one), pack(other))), assemble((pack((*one, *other)),))
    assert apart == whole
