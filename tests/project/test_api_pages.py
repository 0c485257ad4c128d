"""docs/api/ has every public name, and none that is not there."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

import session_mw
import session_mw.login
from session_mw import protocols
from support.markdown import DOCS, text_of

PAGES = sorted((DOCS / "api").glob("*.rst"))
_ENTRY = re.compile(r"^\.\. auto(?:class|exception|function):: ([\w.]+)(?:\(\))?\n((?:   .*\n)*)", re.M)
_MODULE = re.compile(r"^\.\. automodule:: ([\w.]+)\n   :members: (.*)$", re.M)
NAMES = {name for page in PAGES for name, _ in _ENTRY.findall(text_of(page))} | {
    f"{module}.{name.strip()}"
    for page in PAGES
    for module, names in _MODULE.findall(text_of(page))
    for name in names.split(",")
}

# What users type, beside what stands in __all__ (the tables of README.md, docs/ and CONTRIBUTING.md name them).
MODULES = {
    "session_mw.flash": ["flash", "pop_flashes", "peek_flashes"],
    "session_mw.csrf": ["CSRFMiddleware", "check_csrf", "csrf_token"],
    "session_mw.testing": ["StoreContract", "session_transaction"],
    "session_mw.settings": ["Settings"],
    "session_mw.secret_keys": ["generate"],
    "session_mw.device": ["Binding", "binding_of", "proven_until"],
    "session_mw.stores.redis": ["RedisStore"],
    "session_mw.stores.memcached": ["MemcachedStore"],
    "session_mw.stores.sqlalchemy": ["SQLAlchemyStore"],
    "session_mw.stores.migrating": ["MigratingStore"],
    "session_mw.stores.urls": ["location_of"],
    "session_mw.adapters.flask": ["FlaskSessions"],
    "session_mw.adapters.bottle": ["SessionPlugin"],
    "session_mw.adapters.pyramid": ["LoginSecurityPolicy", "includeme"],
    "session_mw.adapters.paste": ["filter_app_factory"],
    "session_mw.protocols": [
        name
        for name, kind in vars(protocols).items()
        if inspect.isclass(kind) and kind.__module__ == protocols.__name__ and name.endswith(("Store", "Location"))
    ],
}
PUBLIC = (
    [f"session_mw.{name}" for name in session_mw.__all__ if name != "__version__"]
    + [f"session_mw.login.{name}" for name in session_mw.login.__all__]
    + [f"{module}.{name}" for module, names in MODULES.items() for name in names]
)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_its_entry(name: str) -> None:
    assert name in NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_an_entry_is_of_something_that_is_there_and_says_what_it_is(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    last = module.rpartition(".")[2]
    if last in ("redis", "memcached", "sqlalchemy", "flask", "bottle", "pyramid"):
        pytest.importorskip("pymemcache" if last == "memcached" else last)
    found = getattr(importlib.import_module(module), attribute)
    assert (found.__doc__ or "").strip().endswith(".") or "\n" in found.__doc__


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_of_the_api_is_in_the_list_of_pages(page) -> None:
    assert f"\napi/{page.stem}\n" in text_of(DOCS / "index.md")


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_a_page_is_in_the_list_of_pages(page) -> None:
    assert page.stem == "index" or f"\n{page.stem}\n" in text_of(DOCS / "index.md")
