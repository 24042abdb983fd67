"""What the chart repeats from elsewhere is what it repeats: CRDs, settings, its own values."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from aibudget.api.names import BLOCK_POLICY, FENCES, FREEZE_QUOTA
from aibudget.controller.lease import LEASE_NAME
from aibudget.controller.options import OPTIONS
from aibudget.enforcement.kinds import KINDS
from aibudget.inventory.accelerators import MIG, NAMES
from aibudget.inventory.lineage import KIN

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "aibudget"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
TEMPLATES = "\n".join(path.read_text() for path in sorted((CHART / "templates").glob("*.yaml")))


def test_the_chart_has_the_crds_of_the_repository() -> None:
    """Which are those of the models (`unit/api/test_crds.py`): `make generate` writes both."""
    ours, copies = (
        {path.name: path.read_text() for path in folder.glob("*.yaml")}
        for folder in (ROOT / "crds", CHART / "files" / "crds")
    )
    assert ours
    assert copies == ours


def test_the_schema_takes_the_defaults() -> None:
    """`helm install` with nothing but a Prometheus must not fail on our own values."""
    jsonschema.validate(VALUES, SCHEMA, cls=jsonschema.Draft202012Validator)


def test_the_schema_and_the_values_name_the_same_fields() -> None:
    """A value without a schema is refused by Helm; a schema without a value is a setting nobody finds."""
    assert set(_leaves_of_schema(SCHEMA)) - {"global"} == set(_leaves(VALUES))


@pytest.mark.parametrize("typo", ["prometeus", "enforcment", "crd"])
def test_the_schema_refuses_a_typo(typo: str) -> None:
    """A misspelt value that is ignored would switch off what its writer relies on."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**VALUES, typo: {}}, SCHEMA, cls=jsonschema.Draft202012Validator)


def test_every_value_is_used_by_a_template() -> None:
    """A value that does nothing is a promise that nobody keeps."""
    unused = [name for name in VALUES if f".Values.{name}" not in TEMPLATES + _helpers()]

    assert not unused


def test_the_deployment_sets_only_variables_that_the_operator_reads() -> None:
    """An environment variable is a string in two places; this holds them together."""
    known = {variable for option in OPTIONS for variable in option.variables}

    assert set(re.findall(r"name: (AIBUDGET_\w+|POD_\w+)", TEMPLATES)) <= known


@pytest.mark.parametrize(
    ("value", "option"),
    [
        (VALUES["prometheus"]["timeoutSeconds"], "prometheus_timeout_seconds"),
        (VALUES["metering"]["clusterName"], "cluster"),
        (VALUES["metering"]["kubeStateMetricsMatchers"], "kube_state_metrics_matchers"),
        (VALUES["metering"]["dcgmMatchers"], "dcgm_matchers"),
        (VALUES["intervalSeconds"], "interval_seconds"),
        (VALUES["ledger"]["retentionMonths"], "retention_months"),
        (VALUES["enforcement"]["stops"]["atMost"], "stops_at_most"),
        (VALUES["enforcement"]["stops"]["percent"], "stops_percent"),
        (VALUES["enforcement"]["stops"]["seconds"], "stops_seconds"),
        (VALUES["enforcement"]["restore"]["waveAccelerators"], "wave_accelerators"),
        (VALUES["enforcement"]["restore"]["readySeconds"], "wave_ready_seconds"),
        (VALUES["enforcement"]["restore"]["withinSeconds"], "restore_within_seconds"),
        (VALUES["anomalies"]["leastAmount"], "anomaly_least_amount"),
        (VALUES["anomalies"]["leastPercent"], "anomaly_least_percent"),
        (VALUES["logLevel"], "log_level"),
    ],
)
def test_a_default_of_the_chart_is_the_operator_s(value: object, option: str) -> None:
    """Whoever goes from `aibudget run` to the chart gets the same operator."""
    (default,) = [one.default for one in OPTIONS if one.name == option]

    assert default == str(value)


def test_the_role_names_the_lease_that_the_operator_takes() -> None:
    """The right to a Lease is given by name."""
    assert f"resourceNames: [{LEASE_NAME}]" in TEMPLATES


def test_the_role_covers_the_kinds_that_enforcement_writes_to() -> None:
    """A kind added to the catalogue needs the right to patch it."""
    rules = (
        (CHART / "templates" / "rbac.yaml").read_text().partition("{{- if .Values.enforcement.enabled }}")[2]
    )
    granted = {
        word
        for resources in re.findall(r"resources: \[(.*)\]", rules.partition("{{- end }}")[0])
        for word in resources.split(", ")
    }

    assert {kind.resource.plural for kind in KINDS.values()} == granted


def test_the_role_reads_every_kind_that_workloads_are_part_of() -> None:
    """A kind added to the table needs the right to read it."""
    rules = (
        (CHART / "templates" / "rbac.yaml").read_text().partition("{{- if .Values.enforcement.enabled }}")[0]
    )
    rule = r"apiGroups: \[(.*)\]\n +resources: \[(.*)\]\n +verbs: \[(.*)\]"
    granted = {
        (group.strip('"'), plural)
        for group, plurals, verbs in re.findall(rule, rules)
        for plural in plurals.split(", ")
        if "get" in verbs.split(", ")
    }

    assert {(kin.resource.group, kin.resource.plural) for kin in KIN} <= granted


def test_the_block_policy_knows_the_accelerators_that_are_metered() -> None:
    """What is refused is what is metered; one more name in the code is one more in the policy."""
    policy = (CHART / "templates" / "block-policy.yaml").read_text()
    listed = policy.partition("- name: accelerators")[2].partition("]")[0]
    names = re.findall(r'"([^"]+)"', listed)

    assert sorted(names) == sorted(NAMES)
    assert set(re.findall(r'startsWith\("([^"]+)"\)', policy)) == {MIG}


def test_the_block_policy_has_the_names_that_the_operator_writes_to() -> None:
    """A ConfigMap of another name would be read by nobody."""
    policy = (CHART / "templates" / "block-policy.yaml").read_text()

    assert set(re.findall(r"^ {2}name: (\S+)$", policy, re.MULTILINE)) == {BLOCK_POLICY, FENCES}
    assert f"    name: {FENCES}\n" in policy
    assert f"resourceNames: [{FREEZE_QUOTA}]" in (CHART / "templates" / "rbac.yaml").read_text()


def _helpers() -> str:
    return (CHART / "templates" / "_helpers.tpl").read_text()


def _leaves(values: dict[str, Any], at: str = "") -> list[str]:
    found: list[str] = []
    for name, value in values.items():
        path = f"{at}.{name}".lstrip(".")
        found += _leaves(value, path) if isinstance(value, dict) and value and name != "resources" else [path]
    return found


def _leaves_of_schema(schema: dict[str, Any], at: str = "") -> list[str]:
    schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    fields = schema.get("properties", {})
    if not fields:
        return [at]
    return [
        leaf
        for name, field in fields.items()
        for leaf in _leaves_of_schema(field, f"{at}.{name}".lstrip("."))
    ]
