"""Log-in for any WSGI application, on the session: remember-me, sudo mode, log-out everywhere."""

from session_mw.login.middleware import LoginMiddleware, get_login
from session_mw.login.redirects import safe_redirect
from session_mw.login.required import login_required

__all__ = ["LoginMiddleware", "get_login", "login_required", "safe_redirect"]
