"""What a launch that was cut off has come to is told from who its processes are, and from what they are called."""

from hypothesis import given
from hypothesis import strategies as st

from supervisor.helper.midway import Process, judge
from supervisor.kernel.zygote import TITLE

FIRST = Process(70, 1, 500, b"supervisor: init 2\0")
SERVICE = Process(71, 70, 501, b"/bin/sleep\0" + b"9\0")


def test_one_that_executes_its_program_is_adopted_with_its_two_processes() -> None:
    grandchild = Process(72, 71, 502, b"x\0")
    late = Process(73, 70, 503, b"an orphan of the service\0")
    note = judge(7, [late, grandchild, SERVICE, FIRST], init=True)
    assert note == (7, 70, 71, 500, 501)


def test_one_that_has_not_come_to_its_program_is_not() -> None:
    ours = TITLE.encode() + b"\0" * 9
    assert judge(7, [FIRST._replace(title=ours), SERVICE._replace(title=ours)], init=True) is None
    assert judge(7, [FIRST._replace(title=ours)], init=True) is None
    assert judge(7, [SERVICE._replace(title=ours, parent=1)], init=False) is None


def test_a_service_that_has_ended_and_is_reaped_is_not_executed_again() -> None:
    assert judge(7, [FIRST._replace(told_all=True)], init=True) == (7, 70, 0, 500, 0)
    assert judge(7, [FIRST], init=True) is None


def test_without_an_init_the_first_process_is_the_service() -> None:
    assert judge(7, [SERVICE._replace(parent=1)], init=False) == (7, 71, 71, 501, 501)


@given(
    st.lists(
        st.builds(
            Process, st.integers(1, 6), st.integers(0, 6), st.integers(0, 9), st.binary(), st.booleans()
        )
    ),
    st.booleans(),
)
def test_whoever_is_adopted_was_there(members: list[Process], init: bool) -> None:
    note = judge(1, members, init=init)
    if note is not None:
        assert {note.init, note.service} - {0} <= {one.pid for one in members}
