"""Whether the tests on a real control plane run: always, unless a laptop's owner says no aloud.

And how many examples a property is tried with.
"""

import os

import pytest
from hypothesis import settings

SKIP_VARIABLE = "AIBUDGET_SKIP_CLUSTER"

# No deadline: how long an example takes is a matter of the machine, and no test is about that.
settings.register_profile("house", deadline=None, max_examples=60)
settings.load_profile("house")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse in CI to leave out the tests that count."""
    if os.environ.get(SKIP_VARIABLE) == "1" and os.environ.get("CI") == "true":
        raise pytest.UsageError(
            f"{SKIP_VARIABLE}=1 is not for CI: the tests on a real control plane must run there."
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip cluster and e2e tests, with a reason in the summary, when the variable asks for it."""
    if os.environ.get(SKIP_VARIABLE) != "1":
        return
    for item in items:
        if item.get_closest_marker("cluster") or item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.skip(reason=f"{SKIP_VARIABLE}=1: NOT tested on a real control plane"))
