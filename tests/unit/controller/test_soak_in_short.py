"""A few days of `make soak`: what budgets say is what was spent, whatever happens in between."""

from pathlib import Path

from soak.story import Story


def test_days_pass_without_a_cent_of_drift(tmp_path: Path) -> None:
    """Every budget's amount, each closed period and the running totals, against an independent count."""
    story = Story(seed=1, budgets=5, days=3, directory=tmp_path)
    for _ in story.days():
        pass
    # How often depends on where the process is killed, and so on how many lines of code it ran.
    assert story.counts["amounts compared"] >= 5
