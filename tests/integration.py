"""Find the integration tests: those that start a server, a cluster or another process.

No test needs to be marked by hand: what a test calls is searched, as far as `tests` defines it.
"""

from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

import pytest

SERVERS = ("ray_cluster", "prefect_server", "s3_server", "postgresql_url")  # fixtures
# Names without which no process is started: the module subprocess, psutil.Popen and so on.
STARTERS = {"subprocess", "Popen", "get_context", "ProcessPoolExecutor"}


def is_integration(item: pytest.Item) -> bool:
    """Return whether a test uses a server, or starts a process itself or in a fixture."""
    if set(getattr(item, "fixturenames", ())).intersection(SERVERS):
        return True
    fixtures = item._fixtureinfo.name2fixturedefs.values()  # type: ignore[attr-defined]
    functions = [item.function, *(each.func for defined in fixtures for each in defined)]  # type: ignore[attr-defined]
    return any(starts_process(function) for function in functions)


def starts_process(function: Any, _searched: dict[Any, bool] = {}) -> bool:  # noqa: B006
    """Return whether a function of the tests, or one that it names, starts a process."""
    function = getattr(function, "__wrapped__", function)
    if not getattr(function, "__module__", "").startswith("tests."):
        return False
    if function not in _searched:
        _searched[function] = False  # until it is known: functions can name each other
        _searched[function] = any(map(_code_starts_process, _functions_of(function)))
    return _searched[function]


def _functions_of(value: Any) -> Iterator[FunctionType]:
    if isinstance(value, FunctionType):
        yield value
    elif isinstance(value, type):
        for part in vars(value).values():
            yield from _functions_of(getattr(part, "func", getattr(part, "fget", part)))


def _code_starts_process(function: FunctionType) -> bool:
    names = set(_names(function.__code__))
    if names & STARTERS:
        return True
    called = (function.__globals__.get(name) for name in names)
    return any(starts_process(value) for value in called if isinstance(value, FunctionType | type))


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
