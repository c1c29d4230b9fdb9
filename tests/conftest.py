import os

import pytest

pytest_plugins = ["tests.support.provide"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("kernel") and os.geteuid():
        pytest.skip("needs root: real namespaces and cgroups")
