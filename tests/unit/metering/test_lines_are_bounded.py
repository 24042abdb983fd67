"""What is beyond the most lines of a meter is folded: bounded, and nothing of it lost."""

from hypothesis import given
from hypothesis import strategies as st

from aibudget.inventory.workload import Workload
from aibudget.metering.folding import OVERFLOW, folded
from aibudget.metering.usage import Usage, sku


def use(slot: int, namespace: str, model: str, quantity: int) -> Usage:
    """Something of a model."""
    return Usage(slot, Workload(namespace, "Deployment", "web"), sku("images", {"model": model}), quantity)


def test_the_smallest_are_folded_into_their_namespace() -> None:
    """The large lines stay as they are; the rest is still their namespace's."""
    usages = [use(0, "a", f"m{n}", n) for n in range(1, 6)] + [use(0, "b", "m", 3)]
    kept = folded(usages, 2)
    assert kept.lines == 6
    assert kept.folded == 4
    assert [(u.workload.namespace, u.workload.kind, u.quantity) for u in kept.usages] == [
        ("a", "Deployment", 5),
        ("a", "Deployment", 4),
        ("a", OVERFLOW, 1 + 2 + 3),
        ("b", OVERFLOW, 3),
    ]


def test_what_fits_is_left_alone() -> None:
    """Also where several slots together have more lines than one may have."""
    usages = tuple(use(slot, "a", model, 1) for slot in (0, 900) for model in ("x", "y"))
    assert folded(usages, 2) == (usages, 2, 0)


USAGES = st.lists(
    st.builds(use, st.sampled_from([0, 900]), st.text("ab", max_size=4), st.text("xy"), st.integers(0, 9)),
    max_size=40,
    unique_by=lambda usage: (usage.slot, usage.workload, usage.sku),
)


@given(USAGES, st.integers(1, 5))
def test_nothing_is_lost_and_lines_are_bounded(usages: list[Usage], most: int) -> None:
    """Each slot's sum stays; it has at most twice the lines."""
    kept = folded(usages, most).usages
    for slot in (0, 900):
        before = [usage.quantity for usage in usages if usage.slot == slot]
        after = [usage for usage in kept if usage.slot == slot]
        assert sum(usage.quantity for usage in after) == sum(before)
        assert len(after) <= 2 * most
        assert len({(usage.workload, usage.sku) for usage in after}) == len(after)
