"""Who is at the other end is what the kernel says, and only those who are meant to may ask."""

import os
import socket

import pytest

from supervisor.api.operators import Operators, Peer, peer_of
from supervisor.core.operator import Operator


def test_the_peers_ids_and_groups_are_its_own() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        peer = peer_of(one)
    assert (peer.uid, peer.pid) == (os.geteuid(), os.getpid())
    assert peer.groups == frozenset({os.getegid(), *os.getgroups()})


@pytest.mark.parametrize(
    ("operators", "peer", "may"),
    [
        (Operators(), Peer(0, 1, frozenset({0})), True),
        (Operators(), Peer(1000, 1, frozenset({1000})), False),
        (Operators(), Peer(1000, 1, frozenset({0, 1000})), False),  # group 0 alone opens no door
        (Operators(gid=0), Peer(1000, 1, frozenset({0, 1000})), True),
        (Operators(gid=50), Peer(1000, 1, frozenset({50, 1000})), True),
        (Operators(gid=50), Peer(1000, 1, frozenset({51, 1000})), False),
        (Operators(gid=50), Peer(1000, 1, None), False),  # what cannot be checked is refused
        (Operators(gid=50), Peer(0, 1, None), True),
        (Operators(own=1000), Peer(1000, 1, frozenset()), True),
        (Operators(own=1000), Peer(1001, 1, frozenset()), False),
        (Operators(), Peer(65534, 1, frozenset({65534})), False),
        (Operators(user=1000), Peer(0, 1, frozenset({0})), True),
        (
            Operators(user=1000),
            Peer(65534, 1, frozenset({65534})),
            True,
        ),  # root: no other comes past mode 0600
    ],
)
def test_root_the_own_account_and_the_group_may_ask(operators: Operators, peer: Peer, may: bool) -> None:
    assert (operators.why_not(peer) == "") is may


def test_who_is_refused_is_told_what_is_missing() -> None:
    assert "not in group 50" in Operators(gid=50).why_not(Peer(1000, 1, frozenset()))
    assert "[supervisor]" in Operators().why_not(Peer(1000, 1, frozenset()))


def test_records_name_the_uid_and_the_pid() -> None:
    assert Operators().operator(Peer(1000, 7, frozenset())) == Operator(1000, 7)


def test_without_root_the_root_of_the_own_namespace_is_recorded_as_its_user() -> None:
    operators = Operators(user=1000)
    assert operators.mode == 0o600
    assert operators.operator(Peer(0, 7, frozenset())) == Operator(1000, 7)
    assert operators.operator(Peer(65534, 7, frozenset())) == Operator(0, 7)
