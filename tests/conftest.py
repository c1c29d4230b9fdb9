import os
import signal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.provide"]

# The same examples at every run: a run that fails, fails for whoever runs it again. New ones are looked
# for in the long mode (make long), where there is time for many. How long one takes is no failure, on a busy
# machine neither.
patient: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("same", derandomize=True, **patient)
settings.register_profile("long", max_examples=5000, **patient)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# A shell that starts a job in the background has it ignore SIGINT, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("kernel") and os.geteuid():
        pytest.skip("needs root: real namespaces and cgroups")
