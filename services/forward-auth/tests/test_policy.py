"""The first rule that fits decides; a typo opens no door."""

from pathlib import Path
from typing import Any

import pytest
from forward_auth import policy

ROOT = Path(__file__).resolve().parents[3]


def made(*rules: dict[str, Any], default: str = "one_factor") -> policy.Policy:
    return policy.parse({"default": default, "rules": list(rules)})


def test_the_first_rule_that_fits_decides_and_the_default_holds_elsewhere():
    rules = made(
        {"name": "open", "require": "public", "paths": ["/a/open"]},
        {"name": "vault", "require": "two_factor", "paths": ["/a"], "methods": ["POST"]},
    )
    assert rules.rule_for("h", "/a/open/x", "POST").require == "public"
    assert rules.rule_for("h", "/a/x", "POST").require == "two_factor"
    assert rules.rule_for("h", "/a/x", "GET").require == "one_factor"
    assert rules.rule_for("h", "/b", "POST").name == "default"


def test_a_prefix_ends_at_a_slash():
    rules = made({"name": "open", "require": "public", "paths": ["/a"]})
    assert rules.rule_for("h", "/a", "GET").name == "open"
    assert rules.rule_for("h", "/a/b", "GET").name == "open"
    assert rules.rule_for("h", "/ab", "GET").name == "default"


def test_case_variants_get_the_same_answer():
    rules = made({"name": "vault", "require": "deny", "paths": ["/vault"]})
    assert rules.rule_for("h", "/VauLT/x", "GET").require == "deny"


def test_a_rule_for_one_host_says_nothing_of_another():
    rules = made({"name": "open", "require": "public", "paths": ["/"], "hosts": ["a.test"]})
    assert rules.rule_for("a.test", "/x", "GET").require == "public"
    assert rules.rule_for("b.test", "/x", "GET").require == "one_factor"


@pytest.mark.parametrize(
    "rule",
    [
        {"name": "x", "require": "publik", "paths": ["/a"]},
        {"name": "x", "require": "public"},
        {"name": "x", "require": "public", "paths": []},
        {"name": "x", "require": "public", "paths": ["a"]},
        {"name": "x", "require": "public", "paths": ["/a/"]},
        {"name": "x", "require": "public", "paths": ["/A"]},
        {"name": "x", "require": "public", "paths": ["/a"], "method": ["GET"]},
        {"name": "x", "require": "public", "paths": ["/a"], "methods": ["get"]},
        {"name": "x", "require": "public", "paths": "/a"},
        "public",
    ],
)
def test_a_rule_with_a_typo_is_refused(rule: Any):
    with pytest.raises(policy.PolicyError):
        made(rule)


@pytest.mark.parametrize("default", ["public", "", None])
def test_what_nobody_thought_of_is_never_public(default: Any):
    with pytest.raises(policy.PolicyError):
        made(default=default)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path):
    with pytest.raises(policy.PolicyError):
        policy.load(tmp_path / "absent.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("rules: [")
    with pytest.raises(policy.PolicyError):
        policy.load(broken)


@pytest.mark.parametrize(
    ("method", "path", "require"),
    [
        ("POST", "/_allauth/browser/v1/auth/login", "public"),
        ("GET", "/_allauth/browser/v1/config", "public"),
        ("POST", "/auth/setup", "public"),
        ("POST", "/auth/invites/accept", "public"),
        ("POST", "/auth/invites", "two_factor"),
        ("DELETE", "/auth/invites/1", "two_factor"),
        ("POST", "/auth/tokens", "one_factor"),
        ("GET", "/_allauth/browser/v1/account/authenticators", "one_factor"),
        ("GET", "/api/memories", "one_factor"),
        ("GET", "/anything/else", "one_factor"),
    ],
)
def test_the_houses_own_policy_says_what_it_should(method: str, path: str, require: str):
    rules = policy.load(ROOT / "edge" / "policy.yaml")
    assert rules.rule_for("lares.test", path, method).require == require
