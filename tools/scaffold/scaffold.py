"""`make service NAME=tagger DOMAIN=memory`: a service that passes `make tidy` and `make unit` at once.

It writes services/<name>, an entry in the domain's compose fragment, a network of its own with nobody on it yet,
and its line in the type checker's paths. Nothing that exists is overwritten.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from string import Template
from typing import NoReturn

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TEMPLATES = HERE / "templates"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
NAME_CHARS_MAX = 30
# Where a domain's networks and users begin: network 20 and user 10030 are memory's first.
FIRST_NETWORK = {
    "edge": 1,
    "data": 10,
    "memory": 20,
    "inference": 30,
    "agents": 40,
    "ops": 50,
    "voice": 60,
    "ingest": 70,
    "automation": 80,
}
FIRST_UID = {
    "edge": 10010,
    "data": 10020,
    "memory": 10030,
    "inference": 10040,
    "agents": 10050,
    "ops": 10060,
    "voice": 10070,
    "ingest": 10080,
    "automation": 10090,
}
DECADE = 10


def refuse(code: str, reason: str) -> NoReturn:
    """End with a coded line."""
    raise SystemExit(f"scaffold.{code}: {reason}")


def check(name: str, domain: str) -> None:
    """Return if a service may have that name in that domain."""
    if not NAME.fullmatch(name) or len(name) > NAME_CHARS_MAX:
        refuse("name_invalid", f"{name!r}: lower-case words joined by dashes: NAME=note-tagger")
    if domain not in FIRST_NETWORK:
        refuse("domain_unknown", f"{domain!r}: DOMAIN is one of {', '.join(FIRST_NETWORK)}")
    if (ROOT / "services" / name).exists():
        refuse("exists", f"services/{name} is there already")
    package = name.replace("-", "_")
    if package in sys.stdlib_module_names or package in ("kit", "contracts", "tests", "tools"):
        refuse("name_taken", f"{package} would hide a module that others import")


def next_free(first: int, taken: set[int], what: str) -> int:
    """Return the first number of a domain's ten that nobody has."""
    free = [number for number in range(first, first + DECADE) if number not in taken]
    if not free:
        refuse("full", f"the domain has no {what} left between {first} and {first + DECADE - 1}")
    return free[0]


def numbers(domain: str) -> tuple[int, int]:
    """Return a network number and a user id that are free."""
    networks = (ROOT / "networks" / "networks.yaml").read_text()
    taken = {int(n) for n in re.findall(r"LARES_NET:-10\.89\}\.(\d+)\.0/24", networks)}
    fragments = "".join(path.read_text() for path in (ROOT / "compose").glob("*.yaml"))
    uids = {int(n) for n in re.findall(r'user: "(\d+):', fragments)}
    # A service of the GPU node is in no fragment of the house.
    said = "".join(path.read_text() for path in (ROOT / "services").glob("*/service.yaml"))
    uids |= {int(n) for n in re.findall(r"^uid: (\d+)$", said, re.MULTILINE)}
    return (
        next_free(FIRST_NETWORK[domain], taken, "network"),
        next_free(FIRST_UID[domain], uids, "user id"),
    )


def fill(template: str, words: dict[str, str]) -> str:
    """Return a template with its words in place."""
    return Template((TEMPLATES / template).read_text()).substitute(words)


def write_folder(name: str, words: dict[str, str]) -> None:
    """Write services/<name>."""
    folder = ROOT / "services" / name
    for template in sorted(TEMPLATES.rglob("*.tmpl")):
        relative = template.relative_to(TEMPLATES)
        if str(relative) in ("compose.yaml.tmpl", "fragment.yaml.tmpl", "network.yaml.tmpl"):
            continue
        parts = list(relative.with_suffix("").parts)
        if parts[0] == "src":
            parts.insert(1, words["package"])
        target = folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(fill(str(relative), words))
    (folder / "src" / words["package"] / "py.typed").touch()


def join_compose(domain: str, words: dict[str, str]) -> None:
    """Add the container at the end of its fragment's services; make the fragment if the domain has none."""
    path = ROOT / "compose" / f"{domain}.yaml"
    if not path.exists():
        path.write_text(fill("fragment.yaml.tmpl", words))
        house = ROOT / "compose" / "compose.yaml"
        house.write_text(house.read_text().rstrip("\n") + f"\n  - {domain}.yaml\n")
    text = path.read_text()
    head, services = re.split(r"(?<=\n)(?=services:\n)", text, maxsplit=1)
    # The next key at the margin ends the services; without one, the file does.
    end = re.search(r"\n(?=[a-z])", services[len("services:\n") - 1 :])
    cut = len(services) if end is None else len("services:\n") - 1 + end.start() + 1
    body, rest = services[:cut].rstrip("\n") + "\n", services[cut:]
    entry = fill("compose.yaml.tmpl", words)
    if body == "services:\n":
        entry = entry.lstrip("\n")
    path.write_text(head + body + entry + ("\n" + rest if rest else ""))


def join_networks(words: dict[str, str]) -> None:
    """Add the service's own network, with no caller on it."""
    path = ROOT / "networks" / "networks.yaml"
    path.write_text(path.read_text().rstrip("\n") + "\n" + fill("network.yaml.tmpl", words))


def join_types(name: str) -> None:
    """Add the service's sources to the type checker's paths, in order."""
    path = ROOT / "pyproject.toml"
    text = path.read_text()
    match = re.search(r"extraPaths = \[\n(.*?)\]", text, re.DOTALL)
    if match is None:
        refuse("pyproject_changed", "pyproject.toml has no tool.pyright.extraPaths to add to")
    lines = sorted({*match.group(1).splitlines(), f'    "services/{name}/src",'})
    path.write_text(text[: match.start(1)] + "\n".join(lines) + "\n" + text[match.end(1) :])


def main() -> None:
    """Read the two words, write the files, say what comes next."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--name", required=True)
    parser.add_argument("--domain", required=True)
    options = parser.parse_args()
    name, domain = options.name, options.domain
    if not name or not domain:
        refuse("usage", "make service NAME=tagger DOMAIN=memory")
    check(name, domain)
    number, uid = numbers(domain)
    words = {
        "name": name,
        "package": name.replace("-", "_"),
        "domain": domain,
        "number": str(number),
        "uid": str(uid),
    }
    write_folder(name, words)
    join_compose(domain, words)
    join_networks(words)
    join_types(name)
    subprocess.run([sys.executable, str(ROOT / "tools" / "settings_reference.py")], check=True)
    print(
        f"services/{name}: user {uid}, network {number}. Next: its README, then `make tidy unit`."
    )


if __name__ == "__main__":
    main()
