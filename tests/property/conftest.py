"""Properties are searched the same way in every run, so that a red run can be repeated."""

from hypothesis import settings

settings.register_profile("backstay", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("backstay")
