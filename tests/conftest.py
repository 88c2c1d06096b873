"""Shared by all tests: this folder is importable (``adapter_support``), and hypothesis repeats itself exactly."""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("repeatable")
