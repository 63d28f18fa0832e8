"""Which path asks for what: an ordered list of rules, read once, the first that fits decides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

Requirement = Literal["public", "one_factor", "two_factor", "deny"]
RULES_MAX = 200
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_KEYS = frozenset({"name", "hosts", "paths", "methods", "require", "cache"})


class PolicyError(ValueError):
    """The policy file cannot be used. The house does not start on half a policy."""


@dataclass(frozen=True)
class Rule:
    """One line of the policy. Paths are prefixes that end at a slash; letters' case does not matter."""

    name: str
    require: Requirement
    paths: tuple[str, ...] = ()
    methods: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    cache: bool = True

    def fits(self, host: str, path: str, method: str) -> bool:
        """Whether the rule speaks about this request. `path` is canonical and in small letters."""
        if self.hosts and host not in self.hosts:
            return False
        if self.methods and method not in self.methods:
            return False
        return not self.paths or any(path == p or path.startswith(p + "/") for p in self.paths)


@dataclass(frozen=True)
class Policy:
    """All rules, and what holds where none fits."""

    rules: tuple[Rule, ...]
    default: Rule

    def rule_for(self, host: str, path: str, method: str) -> Rule:
        """Return the first rule that fits. Case variants of a path get the same answer."""
        small = path.lower()
        for rule in self.rules:
            if rule.fits(host, small, method):
                return rule
        return self.default


def load(path: Path) -> Policy:
    """Read the policy file. Raises PolicyError for anything unknown: a typo must not open a door."""
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise PolicyError(f"{path} cannot be read: {type(error).__name__}") from error
    return parse(document)


def parse(document: Any) -> Policy:
    """Build a policy from the file's content. Raises PolicyError."""
    if not isinstance(document, dict) or set(document) != {"default", "rules"}:
        raise PolicyError("a policy has `default` and `rules`")
    if document["default"] not in ("one_factor", "two_factor", "deny"):
        raise PolicyError(
            "`default` is one_factor, two_factor or deny: what nobody thought of is not public"
        )
    rules = document["rules"]
    if not isinstance(rules, list) or len(rules) > RULES_MAX:
        raise PolicyError(f"`rules` is a list of at most {RULES_MAX}")
    return Policy(tuple(_rule(rule) for rule in rules), Rule("default", document["default"]))


def _rule(raw: Any) -> Rule:
    if (
        not isinstance(raw, dict)
        or not set(raw) <= _KEYS
        or not {"name", "require", "paths"} <= set(raw)
    ):
        raise PolicyError(
            f"a rule has name, require, paths, and perhaps methods, hosts, cache: {raw!r}"
        )
    if raw["require"] not in get_args(Requirement):
        raise PolicyError(f"{raw['name']}: unknown requirement {raw['require']!r}")
    paths = _texts(raw, "paths")
    if not paths or any(
        not p.startswith("/") or (p.endswith("/") and p != "/") or p != p.lower() for p in paths
    ):
        raise PolicyError(
            f"{raw['name']}: paths begin with a slash, do not end with one, and are in small letters"
        )
    methods = frozenset(_texts(raw, "methods"))
    if any(m != m.upper() for m in methods):
        raise PolicyError(f"{raw['name']}: methods are in capital letters")
    return Rule(
        name=str(raw["name"]),
        require=raw["require"],
        paths=tuple("" if p == "/" else p for p in paths),
        methods=methods,
        hosts=frozenset(h.lower() for h in _texts(raw, "hosts")),
        cache=bool(raw.get("cache", True)),
    )


def _texts(raw: dict[str, Any], key: str) -> tuple[str, ...]:
    value = raw.get(key, [])
    if not isinstance(value, list) or any(not isinstance(item, str) for item in value):
        raise PolicyError(f"{raw.get('name')}: {key} is a list of texts")
    return tuple(value)
