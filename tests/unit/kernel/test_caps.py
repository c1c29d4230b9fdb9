"""Capability names stand in the kernel's order: a name's place is its number."""

from supervisor.kernel import caps


def test_names_are_at_their_numbers() -> None:
    known = {"CHOWN": 0, "KILL": 5, "NET_BIND_SERVICE": 10, "SYS_ADMIN": 21, "SETFCAP": 31, "BPF": 39}
    assert {name: caps.NAMES.index(name) for name in known} == known


def test_a_mask_has_one_bit_a_name() -> None:
    assert caps.mask(("CHOWN", "NET_BIND_SERVICE")) == 1 << 0 | 1 << 10
    assert caps.mask(()) == 0
