"""Where a request comes from, which page it may go on to, and what a session's key is."""

import pytest

pytestmark = pytest.mark.integration


@pytest.fixture
def ask(django_house):
    from django.test import RequestFactory

    return RequestFactory()


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.89.1.3", "203.0.113.9", "203.0.113.9"),
        ("10.89.1.3", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("10.89.1.3", "203.0.113.9, evil", "10.89.1.3"),
        ("10.89.1.3", "", "10.89.1.3"),
        ("fd00::1", "2001:db8::1", "2001:db8::1"),
        ("10.89.1.4", "203.0.113.9", "10.89.1.4"),
        ("203.0.113.7", "10.0.0.1", "203.0.113.7"),
        ("", "10.0.0.1", "0.0.0.0"),
    ],
)
def test_only_the_edge_is_believed_about_addresses(ask, peer: str, forwarded: str, address: str):
    from identity.client import client_ip

    request = ask.get("/", REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)
    assert client_ip(request) == address


@pytest.mark.parametrize("page", ["/", "/memory", "/memory?q=a%20b&x=1", "/invite#abc", "/a/b-c_d"])
def test_a_page_of_the_house_is_one(django_house, page: str):
    from identity.views import is_own_page

    assert is_own_page(page)


@pytest.mark.parametrize(
    "page",
    [
        "",
        "//x",
        "/\\x",
        "https://x",
        "/%2f",
        "/a//b",
        "/./x",
        "/../x",
        "/a\n",
        "/api/x",
        "/auth/me",
        "x",
        "/a b",
    ],
)
def test_anything_else_is_not(django_house, page: str):
    from identity.views import is_own_page

    assert not is_own_page(page)


def test_a_sessions_key_is_the_hash_of_its_cookie_and_a_bad_cookie_opens_nothing(django_house):
    import hashlib

    from identity.sessions import SessionStore, key_of

    assert key_of("token") == hashlib.sha256(b"token").hexdigest()[:40]
    assert SessionStore.from_token("token").session_key == key_of("token")
    for bad in (None, "", "x" * 65, "\xe9"):
        assert SessionStore.from_token(bad).session_key is None


def test_assurance_is_two_only_with_a_second_factor(django_house):
    from identity.sessions import assurance

    password = {"method": "password", "at": 1.0, "reauthenticated": True}
    assert assurance([]) == 1
    assert assurance([password]) == 1
    assert assurance([password, {"method": "mfa", "type": "totp", "at": 2.0}]) == 2


def test_passwords_cost_what_a_pi_can_pay(django_house):
    from django.contrib.auth.hashers import check_password, make_password

    kept = make_password("a lamp in every window")
    assert kept.startswith("argon2$argon2id$")
    assert "m=32768,t=3,p=1" in kept
    assert check_password("a lamp in every window", kept)
    assert not check_password("another", kept)


def test_every_address_that_is_served_is_listed(django_house):
    from identity.urls import urlpatterns

    served = {str(pattern.pattern) for pattern in urlpatterns}
    assert not [path for path in served if "signup" in path or "email" in path or "reset" in path]
    assert "_allauth/browser/v1/auth/login" in served
