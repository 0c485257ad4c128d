"""Pyramid's security policy on the log-in of LoginMiddleware."""

from __future__ import annotations

from typing import Any

from pyramid.authorization import ACLHelper, Authenticated, Everyone
from pyramid.interfaces import ISecurityPolicy
from pyramid.security import Allowed
from zope.interface import classImplements

from session_mw.login import get_login
from session_mw.login.middleware import has_login


class LoginSecurityPolicy:
    """A security policy on the log-in of LoginMiddleware: ``request.authenticated_userid``, ``request.identity``.

        config.include("session_mw.adapters.pyramid")
        app = SessionMiddleware(LoginMiddleware(config.make_wsgi_app(), load_user=...), secret_key=...)

    Including the module sets it where the application sets no policy. Permissions are granted by the ACLs of the
    context (``__acl__``) to the user's id, ``Authenticated`` and ``Everyone``; a subclass may give more principals.

    Raises:
        MissingSession: In a request, where LoginMiddleware is not in front.
    """

    def __init__(self) -> None:
        self._acl = ACLHelper()

    def identity(self, request: Any) -> Any:
        """What ``load_user`` gives for the user who is logged in; None: nobody."""
        return get_login(request.environ).user

    def authenticated_userid(self, request: Any) -> str | None:
        """The id of the user who is logged in; None: nobody."""
        return get_login(request.environ).user_id

    def principals(self, request: Any) -> list[str]:
        """To whom an ACL may grant something in this request; to be overridden for groups."""
        user_id = self.authenticated_userid(request)
        return [Everyone] if user_id is None else [Everyone, Authenticated, user_id]

    def permits(self, request: Any, context: Any, permission: str) -> Any:
        """What the context's ACL says."""
        return self._acl.permits(context, self.principals(request), permission)

    def remember(self, request: Any, userid: str, *, remember: bool = False, **kw: Any) -> list[tuple[str, str]]:
        """Log the user in; the middlewares set the cookies.

        Args:
            remember: Whether the user comes back after the browser was closed.
        """
        get_login(request.environ).log_in(userid, remember=remember)
        return []

    def forget(self, request: Any, **kw: Any) -> list[tuple[str, str]]:
        """Log the user out; the middlewares delete the cookies."""
        get_login(request.environ).log_out()
        return []


classImplements(LoginSecurityPolicy, ISecurityPolicy)


class DefaultPolicy(LoginSecurityPolicy):
    """The same, and no policy at all where LoginMiddleware is not in front."""

    def identity(self, request: Any) -> Any:
        return super().identity(request) if has_login(request.environ) else None

    def authenticated_userid(self, request: Any) -> str | None:
        return super().authenticated_userid(request) if has_login(request.environ) else None

    def permits(self, request: Any, context: Any, permission: str) -> Any:
        if has_login(request.environ):
            return super().permits(request, context, permission)
        return Allowed("the application has no security policy, and LoginMiddleware is not in front")


def set_default_policy(config: Any) -> None:
    """Let an application without a policy of its own have one that goes by LoginMiddleware."""
    if config.registry.queryUtility(ISecurityPolicy) is None:
        config.registry.registerUtility(DefaultPolicy(), ISecurityPolicy)
