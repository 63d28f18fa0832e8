"""docs/settings.md, written from every service's Settings classes."""

import importlib
import sys
from dataclasses import is_dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(path) for path in sorted(ROOT.glob("services/*/src"))]

from kit.settings import CommonSettings, Described, HttpSettings, describe  # noqa: E402

DOCUMENT = ROOT / "docs" / "settings.md"
HEADER = """\
# Settings

Written by `make docs` from the code; a test compares. Settings are environment variables, set in `compose/`;
secrets are files under `/run/secrets`, made by `make up` under `.lares/secrets/<service>/`. An empty variable
counts as not set. A missing or wrong one ends the service with exit status 78 and a coded line in its log.
"""


def settings_classes(root: Path = ROOT) -> dict[str, list[type]]:
    """Return the Settings classes of each service, by the service's folder, in the order they are written."""
    found: dict[str, list[type]] = {}
    for path in sorted(root.glob("services/*/src/*/settings.py")):
        service, package = path.parts[-4], path.parts[-2]
        if service.startswith("_"):
            continue
        module = importlib.import_module(f"{package}.settings")
        own = [
            value
            for value in vars(module).values()
            if isinstance(value, type)
            and is_dataclass(value)
            and value.__module__ == module.__name__
            and describe(value)
        ]
        found[service] = own
    return found


def _row(described: Described) -> str:
    name = f"file `{described.env}`" if described.secret else f"`{described.env}`"
    if described.secret:
        default = "required" if described.required else "optional"
    else:
        default = "required" if described.required else f"`{_plain(described.default)}`"
    return f"| {name} | {default} | {described.help} |"


def _plain(default: object) -> str:
    if isinstance(default, tuple):
        return ",".join(str(part) for part in default)
    return "" if default is None else str(default)


def _table(settings: dict[str, Described]) -> str:
    lines = ["| setting | default | what it does |", "|---|---|---|"]
    return "\n".join(lines + [_row(described) for described in settings.values()]) + "\n"


def render(root: Path = ROOT) -> str:
    """Return the whole document."""
    common, http = describe(CommonSettings), describe(HttpSettings)
    own_http = {name: described for name, described in http.items() if name not in common}
    parts = [
        HEADER,
        f"## Every service\n\n{_table(common)}",
        f"## Every HTTP service\n\n{_table(own_http)}",
    ]
    for service, classes in settings_classes(root).items():
        seen: set[str] = set()
        for cls in classes:
            # What is inherited unchanged is said once, above; a changed default is said again.
            own = {
                name: described
                for name, described in describe(cls).items()
                if described not in (common.get(name), http.get(name)) and described.env not in seen
            }
            seen |= {described.env for described in own.values()}
            title = service if len(classes) == 1 else f"{service}: {cls.__name__}"
            if own:
                parts.append(f"## {title}\n\n{_table(own)}")
    return "\n".join(parts)


if __name__ == "__main__":
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(render())
    print(f"{DOCUMENT.relative_to(ROOT)} written")
