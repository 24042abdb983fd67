"""The built-in meters as AIMeter documents: `catalogue.yaml`, read with the model that users' meters have.

Their names are taken, so that no AIMeter of a user can be one of them. Knows what a meter says of itself, not
how it is counted.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import yaml

from aibudget.api.meter import MeterSpec


@cache
def built_in() -> Mapping[str, MeterSpec]:
    """Each built-in meter's definition by its name."""
    text = files("aibudget.metering").joinpath("catalogue.yaml").read_text(encoding="utf-8")
    return MappingProxyType(
        {
            document["metadata"]["name"]: MeterSpec.model_validate(
                document["spec"], by_alias=True, by_name=False
            )
            for document in yaml.safe_load_all(text)
        }
    )
