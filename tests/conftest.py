import os

import pytest
from hypothesis import settings

pytest_plugins = ["tests.support.provide"]

# The same examples at every run: a run that fails, fails for whoever runs it again. New ones are looked
# for in the long mode (make long), where there is time for many.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("long", max_examples=5000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("kernel") and os.geteuid():
        pytest.skip("needs root: real namespaces and cgroups")
