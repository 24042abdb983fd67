"""What was counted goes to whoever used it, once, whoever else tells of it too."""

import pytest

from aibudget.api.meter import Attribution
from aibudget.inventory.owners import Child, OwnerBook, OwnerLink
from aibudget.inventory.workload import Owner
from aibudget.metering.charging import Charging
from aibudget.metering.families import Family
from aibudget.metering.levels import NOBODY, Holder
from aibudget.metering.memory import Counter
from aibudget.metering.slots import Interval
from aibudget.metering.tally import Amount, Cell, Tally

BOOK = OwnerBook.of([OwnerLink(Child("ml", "Pod", "llm-0"), Owner("StatefulSet", "llm"))])
SERVER = Family(
    "vllm", "", fixed={"hosting": "self"}, dimensions={"model": "model_name", "tokenType": "type"}
)
GATEWAY = Family(
    "litellm",
    "",
    fixed={"hosting": "external"},
    attribution=Attribution(team="team_alias"),
    dimensions={"model": "model", "tokenType": "type"},
)
OTHER = Family("kong", "", fixed={"hosting": "external"}, dimensions={"model": "ai_model"})


Found = dict[tuple[str, str], int]


def charged(meter: str, *counted: tuple[Family, int, dict[str, str]]) -> tuple[Found, str]:
    """(workload, token type) with its quantity, and all that was said; each was counted in one slot."""
    families = {family.name: family for family, _, _ in counted}
    tally = Tally(families, Interval(0, 900), 60)
    for family, quantity, labels in counted:
        holder = Holder(labels.pop("held_in", ""), labels.pop("held_by", "")) if "UUID" in labels else NOBODY
        counter = Counter(family.name, tuple(sorted(labels.items())))
        tally.told.add((counter, 0))
        tally.cells[Cell(0, counter, holder)] = Amount(quantity)
    charging = Charging(meter, tally)
    found: Found = {}
    for usage in charging.usages(BOOK):
        who = usage.workload
        type_ = usage.sku.dimension("tokenType") or usage.sku.dimension("component") or ""
        key = f"{who.namespace}/{who.kind}/{who.name}", type_
        found[key] = found.get(key, 0) + usage.quantity
    return found, " ".join(charging.problems())


def told(**labels: str) -> dict[str, str]:
    """Labels of a pod."""
    return {"namespace": "ml", "pod": "llm-0", **labels}


def test_what_is_cached_is_taken_out_of_input() -> None:
    """And is never more than it: the two counters are not raised at one instant."""
    inner, outer = told(model_name="llama", type="cachedInput"), told(model_name="llama", type="input")
    found, _ = charged("tokens", (SERVER, 100, dict(outer)), (SERVER, 30, dict(inner)))
    assert found == {("ml/StatefulSet/llm", "input"): 70, ("ml/StatefulSet/llm", "cachedInput"): 30}
    found, _ = charged("tokens", (SERVER, 10, dict(outer)), (SERVER, 30, dict(inner)))
    assert found == {("ml/StatefulSet/llm", "cachedInput"): 10}


@pytest.mark.parametrize("alias", ["llama", "hosted_vllm/llama"])
def test_a_gateways_tokens_of_a_model_served_here_are_the_servers(alias: str) -> None:
    """By whatever name the gateway knows it."""
    found, said = charged(
        "tokens",
        (SERVER, 100, told(model_name="llama", type="output")),
        (GATEWAY, 90, {"namespace": "gw", "pod": "g", "model": alias, "team_alias": "nlp", "type": "output"}),
    )
    assert found == {("ml/StatefulSet/llm", "output"): 100}
    assert "litellm tells of tokens of llama is a duplicateOf what vllm tells" in said


@pytest.mark.parametrize(("alias", "payer"), [("nlp", "/Team/nlp"), ("None", "gw/Pod/g")])
def test_a_gateways_tokens_are_its_teams(alias: str, payer: str) -> None:
    """And its own where no team is named."""
    found, said = charged(
        "tokens",
        (
            GATEWAY,
            90,
            {"namespace": "gw", "pod": "g", "model": "gpt-4o", "team_alias": alias, "type": "output"},
        ),
    )
    assert found == {(payer, "output"): 90}
    assert not said


def test_two_gateways_of_one_model_are_added_up_and_told() -> None:
    """They may be one before the other, which nobody can see from here."""
    labels = {"namespace": "gw", "pod": "g"}
    found, said = charged(
        "requests",
        (GATEWAY, 5, {**labels, "model": "openai/gpt-4o"}),
        (OTHER, 7, {**labels, "ai_model": "gpt-4o"}),
    )
    assert sum(found.values()) == 12
    assert "kong and litellm both tell of requests of gpt-4o" in said


def test_of_two_exporters_of_a_pods_energy_the_one_that_tells_more_counts() -> None:
    """By component; and what an idle device used is its node pool's."""
    dcgm = Family("dcgm", "", fixed={"component": "gpu"})
    kepler = Family("kepler", "", dimensions={"component": "component"})
    found, said = charged(
        "energy",
        (dcgm, 500, {"UUID": "a", "held_in": "ml", "held_by": "llm-0"}),
        (dcgm, 40, {"UUID": "b"}),
        (kepler, 450, told(component="gpu")),
        (kepler, 60, told(component="cpu")),
    )
    assert found == {
        ("ml/StatefulSet/llm", "gpu"): 500,
        ("ml/StatefulSet/llm", "cpu"): 60,
        ("/NodePool/", "gpu"): 40,
    }
    assert "kepler tells of energy is a duplicateOf what dcgm tells" in said


@pytest.mark.parametrize(
    ("dcgm", "kepler", "billed"),
    [
        ((1500, 1000), (500, 0), 500),
        ((500, 0), (1500, 1000), 500),
        ((1500, 1000), (200, 0), 500 + 600),
        ((1500, 1000), (1200, 800), 1500),
        ((1500, 1000), None, 1500),
        ((1000, 1000), (500, 0), 500),
    ],
    ids=["they tell alike", "the other was away", "of less", "both were away", "alone", "and is idle"],
)
def test_what_an_exporter_counted_while_it_was_away_the_other_has_told(
    dcgm: tuple[int, int], kepler: tuple[int, int] | None, billed: int
) -> None:
    """Of a slot after an absence: what stands there is (all, what was counted before the slot)."""
    families = {name: Family(name, "", fixed={"component": "gpu"}) for name in ("dcgm", "kepler")}
    tally = Tally(families, Interval(0, 900), 60)
    for name, said in (("dcgm", dcgm), ("kepler", kepler)):
        if said is not None:
            counter = Counter(name, tuple(sorted(told().items())))
            tally.cells[Cell(0, counter, NOBODY)] = Amount(said[0], 0, said[1])
    assert sum(usage.quantity for usage in Charging("energy", tally).usages(BOOK)) == billed
