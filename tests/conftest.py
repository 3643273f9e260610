"""What all suites share: how properties are searched, and which slice of the long ones runs."""

from __future__ import annotations

from hypothesis import settings
from tests.support.sampling import VARIABLE, chosen_slice

# The same way in every run, so that a red run can be repeated. No deadline: machines are busy.
settings.register_profile("ci", deadline=None, derandomize=True)
# In another way in every run. Hypothesis prints how to repeat what it finds.
settings.register_profile("soak", deadline=None, print_blob=True, max_examples=200)
settings.load_profile("soak" if chosen_slice() is None else "ci")


def pytest_report_header() -> str:
    number = chosen_slice()
    if number is None:
        return "long sweeps and searches: the whole"
    return f"long sweeps and searches: the slice of {VARIABLE}={number}"
