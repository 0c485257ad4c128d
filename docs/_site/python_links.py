"""Where the documentation of the standard library and of other packages has a name: no inventory is fetched for it."""

from __future__ import annotations

_PYTHON = "https://docs.python.org/3/library"
_FLASK = "https://flask.palletsprojects.com/en/stable/api"
_PAGES = {
    f"{_PYTHON}/functions.html": "object property",
    f"{_PYTHON}/stdtypes.html": "bool bytes dict float int list set str tuple",
    f"{_PYTHON}/constants.html": "None False True",
    f"{_PYTHON}/exceptions.html": (
        "AttributeError Exception KeyError LookupError RuntimeError TypeError UserWarning ValueError"
    ),
}
_MODULES = {
    "collections.abc": f"{_PYTHON}/collections.abc.html",
    "datetime": f"{_PYTHON}/datetime.html",
    "os": f"{_PYTHON}/os.html",
    "typing": f"{_PYTHON}/typing.html",
    "wsgiref.types": f"{_PYTHON}/wsgiref.html",
}
_ADDRESSES = {name: f"{page}#{name}" for page, names in _PAGES.items() for name in names.split()} | {
    # the names that annotations in the package have for them
    "StartResponse": f"{_PYTHON}/wsgiref.html#wsgiref.types.StartResponse",
    "WSGIApp": f"{_PYTHON}/wsgiref.html#wsgiref.types.WSGIApplication",
    "WSGIApplication": f"{_PYTHON}/wsgiref.html#wsgiref.types.WSGIApplication",
    "WSGIEnvironment": f"{_PYTHON}/wsgiref.html#wsgiref.types.WSGIEnvironment",
    "Client": "https://redis.readthedocs.io/en/stable/connections.html",
    "Flask": f"{_FLASK}/#flask.Flask",
    "flask.app.Flask": f"{_FLASK}/#flask.Flask",
    "sqlalchemy.engine.base.Engine": "https://docs.sqlalchemy.org/en/20/core/connections.html#sqlalchemy.engine.Engine",
}


def address_of(name: str) -> str | None:
    """The address of a name's documentation; None where it is of nobody known here."""
    module, _, attribute = name.rpartition(".")
    if module in _MODULES:
        return f"{_MODULES[module]}#{module}.{attribute}"
    return _ADDRESSES.get(name)
