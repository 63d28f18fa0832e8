"""A file has one subject and fits a head: at most 400 lines, a function at most 70."""

import ast
from pathlib import Path

import tree

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
WRITTEN = {".py", ".sh", ".ts", ".svelte", ".css", ".mk"}
# Written by tools from something else that is reviewed.
GENERATED = ("services/dashboard/web/src/api/", "services/dashboard/web/src/lib/api/")


def written_by_hand() -> list[Path]:
    return [
        path
        for path in tree.tracked_files()
        if path.suffix in WRITTEN and not str(path).startswith(GENERATED)
    ]


def test_no_file_is_longer_than_400_lines() -> None:
    long = [
        f"{path}: {lines} lines"
        for path in written_by_hand()
        if (lines := len(tree.read(path).splitlines())) > FILE_LINES_MAX
        and not tree.read(path).startswith(("/**\n * This file was auto-generated", "// generated"))
    ]
    assert not long, "split these by subject:\n" + "\n".join(long)


def test_no_function_is_longer_than_70_lines() -> None:
    long: list[str] = []
    for path in written_by_hand():
        if path.suffix != ".py":
            continue
        for node in ast.walk(ast.parse(tree.read(path), str(path))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    long.append(f"{path}:{node.lineno} {node.name}: {lines} lines")
    assert not long, "split these by step:\n" + "\n".join(long)
