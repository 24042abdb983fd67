"""The built-in meters are AIMeters, and agree with the units and names in the code."""

from aibudget.api.meter import BUILT_IN
from aibudget.api.rate import UNITS
from aibudget.metering.catalogue import METERS
from aibudget.metering.definitions import built_in


def test_every_built_in_meter_has_the_unit_of_the_code() -> None:
    """The unit of a definition is what rates are per; a second spelling would price nothing."""
    assert {name: spec.unit for name, spec in built_in().items()} == {
        name: METERS[name].unit for name in built_in()
    }


def test_no_user_can_take_the_name_of_a_built_in_meter() -> None:
    """The names that the API refuses are those that the code counts by, or prices."""
    assert set(BUILT_IN) == {*METERS, *UNITS}
