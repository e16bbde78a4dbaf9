"""docs/architecture.md has every module of the app, with the first sentence of its docstring."""

import ast

from local.settings import APP_DIR

PAGE = (APP_DIR / "docs" / "architecture.md").read_text()


def test_page_has_every_module() -> None:
    modules = [
        APP_DIR / "function_app.py",
        *sorted((APP_DIR / "chat").rglob("*.py")),
        *sorted((APP_DIR / "web").glob("*.py")),
    ]
    rows = []
    for path in modules:
        docstring = ast.get_docstring(ast.parse(path.read_text()))
        assert docstring, path
        if path.name != "__init__.py":
            first, _, _ = docstring.partition("\n\n")
            rows.append(f"| `{path.relative_to(APP_DIR)}` | {' '.join(first.removesuffix('.').split())} |")
    table = "| module | what it holds |\n| --- | --- |\n" + "\n".join(rows) + "\n"
    assert table in PAGE, f"the table should be:\n{table}"
