"""The rule of the house that no linter knows: modules are small, and named for what they hold."""

from pathlib import Path

import pytest

SOURCE_ROOT = Path(__file__).parents[2] / "operator"
MODULES = sorted(SOURCE_ROOT.rglob("*.py"))
SAY_NOTHING = {"utils", "util", "common", "core", "base", "helpers", "helper", "manager", "misc"}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCE_ROOT)))
def test_a_module_is_small_and_named_for_what_it_holds(module: Path) -> None:
    """More than 400 lines hide a second module; a name that fits everything tells nothing."""
    assert len(module.read_text(encoding="utf-8").splitlines()) <= 400
    assert not SAY_NOTHING & {module.stem, module.parent.name}
