"""Units mean what SPEC says, round trip, and refuse what only looks like them."""

import re
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.config.units import LARGEST, LAST_ID, account, cpu_limit, duration, signal_name, size, user
from supervisor.config.values import WrongError

FACTORS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BINARY = {
    "": 0,
    "KiB": 10,
    "MiB": 20,
    "GiB": 30,
    "TiB": 40,
    "K": 10,
    "M": 20,
    "G": 30,
    "k": 10,
    "m": 20,
    "g": 30,
}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("1.5s", 1.5), ("2m", 120), ("1h", 3600), ("7d", 604800), ("0s", 0)],
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "5",
        "s",
        "1,5s",
        "-1s",
        "1 s",
        "1S",
        "1h30m",
        "1.s",
        ".5s",
        "\u0665s",
        "1e3s",
        "36501d",
        5,
        1.5,
        True,
        None,
        [],
    ],
)
def test_what_is_no_duration_is_refused(wrong: object) -> None:
    with pytest.raises(WrongError):
        duration(wrong)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(sorted(FACTORS)))
def test_every_duration_reads_back(count: int, unit: str) -> None:
    if count * FACTORS[unit] <= 36500 * 86400:
        assert duration(f"{count}{unit}") == pytest.approx(count * FACTORS[unit])


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("64KiB", 65536),
        ("64MiB", 64 << 20),
        ("1GiB", 1 << 30),
        ("64M", 64 << 20),
        ("64k", 65536),
        ("512", 512),
        (7, 7),
    ],
)
def test_sizes_are_bytes(text: object, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize(
    "wrong",
    ["", "64MB", "1.5GiB", "-1", "64 MiB", "64mib", "MiB", "\u0666", -1, 1.5, True, 1 << 63, "9" * 19 + "G"],
)
def test_what_is_no_size_is_refused(wrong: object) -> None:
    with pytest.raises(WrongError):
        size(wrong)


@settings(deadline=None)
@given(st.integers(0, 1 << 20), st.sampled_from(sorted(BINARY)))
def test_every_size_reads_back(count: int, unit: str) -> None:
    assert size(f"{count}{unit}") == count << BINARY[unit]


@settings(deadline=None)
@given(st.integers(0, LARGEST))
def test_plain_numbers_are_bytes(count: int) -> None:
    assert size(count) == size(str(count)) == count


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10%", "10000 100000"),
        (0.1, "10000 100000"),
        ("10000", "10000 100000"),
        ("10000 100000", "10000 100000"),
        ("max", "max 100000"),
        ("max 50000", "max 50000"),
        ("150%", "150000 100000"),
        ("33.3%", "33300 100000"),
        (2, "200000 100000"),
        (0.5, "50000 100000"),
        ("0.5%", "5000 1000000"),  # below the smallest quota of the usual period
        ("2000 1000", "2000 1000"),
    ],
)
def test_every_spelling_of_a_cpu_limit_becomes_what_the_file_takes(value: object, text: str) -> None:
    assert cpu_limit(value) == text


def test_a_wrong_cpu_limit_says_what_to_write() -> None:
    with pytest.raises(
        WrongError, match=re.escape('"10x" is not a CPU limit (use "10%", 0.5 CPUs, or "QUOTA PERIOD")')
    ):
        cpu_limit("10x")


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "10 %",
        "-10%",
        "0%",
        "%",
        "1e2%",
        "500",
        "10000 999",
        "10000 1000001",
        "10000  100000",
        "10000 max",
        "MAX",
        "0.5",
        "100000000%",
        "\u0665%",
        0,
        -1,
        0.0,
        -0.5,
        10000,
        10**400,
        float("nan"),
        float("inf"),
        1e-300,
        True,
        None,
        [],
    ],
)
def test_what_the_kernel_cannot_cap_is_refused(wrong: object) -> None:
    with pytest.raises(WrongError):
        cpu_limit(wrong)


@settings(deadline=None)
@given(st.integers(1, 819_200))
def test_a_percentage_and_its_share_of_cpus_are_one(percent: int) -> None:
    assert cpu_limit(f"{percent}%") == cpu_limit(percent / 100) == f"{percent * 1000} 100000"


@settings(deadline=None)
@given(st.integers(1000, (1 << 44) - 1), st.integers(1000, 1_000_000))
def test_quota_and_period_stay_as_they_are(quota: int, period: int) -> None:
    assert cpu_limit(f"{quota} {period}") == f"{quota} {period}"
    assert cpu_limit(cpu_limit(f"{quota} {period}")) == f"{quota} {period}"


@settings(deadline=None)
@given(st.one_of(st.text(max_size=20), st.floats(), st.integers(), st.booleans()))
def test_units_raise_nothing_but_their_own_error(value: object) -> None:
    for read in (duration, size, cpu_limit, signal_name, user, account):
        try:
            read(value)
        except WrongError as error:
            assert str(error).isprintable()  # noqa: PT017 - any text will do


@pytest.mark.parametrize("known", list(signal.Signals))
def test_signals_are_known_by_name_short_name_and_number(known: signal.Signals) -> None:
    assert {signal_name(known.name), signal_name(known.name[3:]), signal_name(int(known))} == {known.name}


@pytest.mark.parametrize("wrong", ["", "SIG", "SIGTREM", "15", 0, 65, -1, True, 9.0, None])
def test_what_is_no_signal_is_refused(wrong: object) -> None:
    with pytest.raises(WrongError, match="is not a signal"):
        signal_name(wrong)


@pytest.mark.parametrize(
    "right",
    [
        "0",
        "1000",
        "0:0",
        "1000:1000",
        "www-data",
        "www-data:www-data",
        "1000:users",
        "_apt",
        "Debian-exim",
        str(LAST_ID),
    ],
)
def test_users_are_ids_or_names(right: str) -> None:
    assert user(right) == right


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        ":",
        "0day",
        "0x0",
        "+0",
        " 0",
        "0 ",
        "-1",
        "4294967295",
        "00",
        "007",
        "1000:",
        ":0",
        "0:0:0",
        "1_000",
        "\u0660",
        "a b",
        "a\n",
        "-a",
        "1000:0x",
        "a" * 40,
        1.0,
        True,
        -1,
        4294967295,
        None,
        [],
    ],
)
def test_what_could_be_mistaken_for_another_id_is_refused(wrong: object) -> None:
    with pytest.raises(WrongError):
        user(wrong)


@settings(deadline=None)
@given(st.integers(0, LAST_ID), st.integers(0, LAST_ID))
def test_every_id_reads_back(uid: int, gid: int) -> None:
    assert user(f"{uid}:{gid}") == f"{uid}:{gid}"
    assert user(uid) == str(uid)
