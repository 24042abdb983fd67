"""The built-in meters are AIMeters, and agree with the units and names in the code."""

from aibudget.api.meter import BUILT_IN
from aibudget.api.query import Macro, read
from aibudget.api.rate import TOLD_APART, UNITS
from aibudget.metering.catalogue import COUNTED, METERS
from aibudget.metering.definitions import built_in
from aibudget.metering.macros import Scope, expanded
from aibudget.metering.nodes import SOURCES
from aibudget.metering.promql import Matcher, Queries


def test_every_built_in_meter_has_the_unit_of_the_code() -> None:
    """The unit of a definition is what rates are per; a second spelling would price nothing."""
    assert {name: spec.unit for name, spec in built_in().items()} == {
        name: METERS[name].unit for name in COUNTED
    }


def test_no_entry_looks_past_the_matchers() -> None:
    """What is built in asks as users do: each of its selectors gets the cluster's matchers."""
    scope = Scope(Queries((), ()), (Matcher("cluster", "=", "eu"),))
    for spec in built_in().values():
        for source in spec.sources:
            query = read(source.query)
            written = [part for part in query.parts if not isinstance(part, str)]
            steps = [part for part in written if isinstance(part, Macro) and part.selector is None]
            selectors = len(written) - len(steps)
            assert selectors
            assert expanded(query, scope).count('cluster="eu"') == selectors


def test_no_user_can_take_the_name_of_a_built_in_meter() -> None:
    """The names that the API refuses are those that the code counts by, or prices."""
    assert set(BUILT_IN) == {*METERS, *UNITS}


def test_a_rate_can_name_what_usage_is_told_apart_by() -> None:
    """A dimension that the catalogue has and the price lists refuse could never be priced by, and one that
    only the price lists know would never match."""
    machine = {*SOURCES, "capacityType"}
    device = machine | {"resource", "share", "migProfile"}
    counted = {
        name: {key for source in spec.sources for key in (*source.dimensions, *source.fixed)}
        for name, spec in built_in().items()
    }
    counted["energy"] |= machine
    expected = {"gpu": device, "node": device, "cpu": machine, "memory": machine} | counted
    assert {meter: set(told) for meter, told in TOLD_APART.items()} == {
        meter: expected[meter] for meter in UNITS
    }
