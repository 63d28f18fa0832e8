"""Every address identity answers. allauth's are listed one by one: what is not named here does not exist."""

from allauth.headless.account import views as account
from allauth.headless.base.views import ConfigView
from allauth.headless.constants import Client
from allauth.headless.mfa import views as mfa
from django.urls import URLPattern, path

from identity import passkeys, views

V1 = "_allauth/browser/v1/"


def _api(where: str, view: type) -> URLPattern:
    return path(V1 + where, view.as_api_view(client=Client.BROWSER))  # pyright: ignore[reportAttributeAccessIssue]


urlpatterns = [
    _api("config", ConfigView),
    _api("auth/session", account.SessionView),
    _api("auth/login", account.LoginView),
    _api("auth/reauthenticate", account.ReauthenticateView),
    _api("auth/2fa/authenticate", mfa.AuthenticateView),
    _api("auth/2fa/reauthenticate", mfa.ReauthenticateView),
    _api("auth/webauthn/login", passkeys.Login),
    _api("auth/webauthn/authenticate", passkeys.Authenticate),
    _api("auth/webauthn/reauthenticate", passkeys.Reauthenticate),
    _api("auth/sessions", views.HouseSessionsView),
    _api("account/password/change", account.ChangePasswordView),
    _api("account/authenticators", mfa.AuthenticatorsView),
    _api("account/authenticators/totp", mfa.ManageTOTPView),
    _api("account/authenticators/webauthn", passkeys.Manage),
    _api("account/authenticators/recovery-codes", mfa.ManageRecoveryCodesView),
    path("auth/me", views.me),
    path("auth/setup", views.setup),
    path("auth/invites", views.invites),
    path("auth/invites/accept", views.accept),
    path("auth/invites/<uuid:invite_id>", views.invite),
    path("auth/recover", views.recover),
    path("auth/continue", views.continue_),
    path("auth/tokens", views.access_tokens),
    path("auth/tokens/<slug:token_id>", views.access_token),
    path("auth/audit", views.audit_page),
    path("healthz", views.healthz),
    path("readyz", views.readyz),
    path("metrics", views.metrics_page),
]
handler400 = "identity.views.bad_request"
handler404 = "identity.views.not_found"
handler500 = "identity.views.server_error"
