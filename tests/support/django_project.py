"""Django, configured once for all tests of a process: it does not let itself be configured a second time."""

from __future__ import annotations

from support.wsgi import KEY


def configure_django() -> None:
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"],
            ROOT_URLCONF=[],
            MIDDLEWARE=[],
            SECRET_KEY=KEY,
            USE_TZ=True,
            INSTALLED_APPS=["django.contrib.sessions"],
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        )
        django.setup()
