"""The names by which tests/stores calls what is in :mod:`support.races`."""

from support.races import assert_threads_take_turns as assert_threads_take_turns
from support.races import assert_works_in_child as assert_works_in_child
