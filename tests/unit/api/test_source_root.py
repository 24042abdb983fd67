"""The source root must not shadow Python's own `operator`."""

import operator
from pathlib import Path


def test_the_source_root_is_no_package() -> None:
    """An __init__.py there would replace a module that half of the standard library imports."""
    root = Path(__file__).parents[3] / "operator"
    assert root.is_dir()
    assert not (root / "__init__.py").exists()
    assert operator.add(1, 1) == 2
