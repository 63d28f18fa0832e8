"""Django's settings, built from ours. `configure` is the only place that touches Django's global state."""

from __future__ import annotations

from typing import Any

from identity.settings import Settings

APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.headless",
    "identity.house",
]
MIDDLEWARE = [
    "identity.middleware.EdgeMiddleware",
    "identity.sessions.HouseSessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "identity.middleware.DoorMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
]
HEADER_BYTES_MAX = 16 * 1024
BODY_BYTES_MAX = 64 * 1024


def build(settings: Settings) -> dict[str, Any]:
    """Return what Django and allauth are configured with."""
    return {
        "LARES": settings,
        "DEBUG": False,
        "SECRET_KEY": settings.django_secret_key,
        "ALLOWED_HOSTS": [settings.host],
        "CSRF_TRUSTED_ORIGINS": [settings.origin],
        "ROOT_URLCONF": "identity.urls",
        "INSTALLED_APPS": APPS,
        "MIDDLEWARE": MIDDLEWARE,
        # No admin, no groups: Django's own tables for them are not made.
        "MIGRATION_MODULES": {"auth": None, "contenttypes": None},
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "USE_TZ": True,
        "USE_I18N": False,
        "APPEND_SLASH": False,
        "LOGGING_CONFIG": None,
        "DATA_UPLOAD_MAX_MEMORY_SIZE": BODY_BYTES_MAX,
        "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
        "TEMPLATES": [],
        "DATABASES": {"default": _database(settings)},
        "CACHES": {
            "default": {
                "BACKEND": "identity.cache.HouseCache",
                "LOCATION": "identity_cache",
                "OPTIONS": {"MAX_ENTRIES": 20_000},
            }
        },
        **_sessions(settings),
        **_passwords(),
        **_allauth(settings),
    }


def _database(settings: Settings) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": settings.postgres_host,
        "PORT": settings.postgres_port,
        "NAME": settings.postgres_database,
        "USER": "svc_identity",
        "PASSWORD": settings.db_password,
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 3,
            "application_name": "identity",
            "options": "-c search_path=edge -c statement_timeout=5000 -c lock_timeout=3000",
        },
    }


def _sessions(settings: Settings) -> dict[str, Any]:
    return {
        "SESSION_ENGINE": "identity.sessions",
        "SESSION_COOKIE_NAME": "lares_session",
        "SESSION_COOKIE_AGE": settings.session_days * 86400,
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "CSRF_COOKIE_SECURE": True,
        "CSRF_COOKIE_SAMESITE": "Lax",
        "CSRF_FAILURE_VIEW": "identity.views.csrf_rejected",
    }


def _passwords() -> dict[str, Any]:
    validators = "django.contrib.auth.password_validation."
    return {
        "AUTH_USER_MODEL": "house.Person",
        "AUTHENTICATION_BACKENDS": ["allauth.account.auth_backends.AuthenticationBackend"],
        "PASSWORD_HASHERS": ["identity.passwords.HouseHasher"],
        "AUTH_PASSWORD_VALIDATORS": [
            {"NAME": validators + "MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
            {
                "NAME": validators + "UserAttributeSimilarityValidator",
                "OPTIONS": {"user_attributes": ("username",)},
            },
            {"NAME": validators + "CommonPasswordValidator"},
            {"NAME": "identity.passwords.LengthLimit"},
        ],
    }


def _allauth(settings: Settings) -> dict[str, Any]:
    return {
        "HEADLESS_ONLY": True,
        "HEADLESS_CLIENTS": ("browser",),
        "HEADLESS_FRONTEND_URLS": {},
        "ACCOUNT_ADAPTER": "identity.adapters.HouseAccountAdapter",
        "MFA_ADAPTER": "identity.adapters.HouseMFAAdapter",
        # There is no mail server: nothing is verified by mail and nothing is recovered by it.
        "ACCOUNT_EMAIL_VERIFICATION": "none",
        "ACCOUNT_LOGIN_METHODS": {"username"},
        "ACCOUNT_SIGNUP_FIELDS": ["username*", "password1*"],
        "ACCOUNT_USER_MODEL_EMAIL_FIELD": None,
        "ACCOUNT_USER_MODEL_USERNAME_FIELD": "username",
        "ACCOUNT_PRESERVE_USERNAME_CASING": False,
        "ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE": False,
        "ACCOUNT_REAUTHENTICATION_TIMEOUT": settings.reauthentication_seconds,
        "ACCOUNT_REAUTHENTICATION_REQUIRED": True,
        "ACCOUNT_RATE_LIMITS": {
            # Passwords are slowed by identity.regulation, which cannot be used to lock the owner out. What remains here
            # counts wrong second factors, which only somebody who has the password can send.
            "login": None,
            "login_failed": "5/5m/key,30/1d/key",
            "reauthenticate": "20/m/user",
        },
        "MFA_SUPPORTED_TYPES": ["totp", "webauthn", "recovery_codes"],
        "MFA_PASSKEY_LOGIN_ENABLED": True,
        "MFA_PASSKEY_SIGNUP_ENABLED": False,
        "MFA_ALLOW_UNVERIFIED_EMAIL": True,
        "MFA_TOTP_ISSUER": "Lares",
        # One period of drift either way: a Pi has no clock battery. identity.cache keeps used codes longer than that.
        "MFA_TOTP_TOLERANCE": 1,
        "MFA_RECOVERY_CODES_SHOW_ONCE": True,
        "MFA_RECOVERY_CODE_DIGITS": 10,
        "MFA_RATE_LIMITS": {"webauthn_login": "30/m/ip"},
        "USERSESSIONS_TRACK_ACTIVITY": True,
    }


def configure(settings: Settings) -> None:
    """Configure Django once and load its applications."""
    import django
    from django.conf import settings as django_settings

    django_settings.configure(**build(settings))
    django.setup(set_prefix=False)
