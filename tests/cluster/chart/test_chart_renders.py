"""Helm takes the chart, says what is missing, and gives the objects that the values ask for."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from aibudget.budgeting.sharing import parse as parse_sharing
from aibudget.notification.receivers import parse
from aibudget.pricing.carbon import grids

Helm = Callable[..., subprocess.CompletedProcess[str]]
Render = Callable[..., list[dict[str, Any]]]

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[3]
CHART = str(ROOT / "charts" / "aibudget")


def only(objects: list[dict[str, Any]], kind: str, name: str = "aibudget") -> dict[str, Any]:
    """The one object of that kind and name."""
    (found,) = [item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


def environment(objects: list[dict[str, Any]]) -> dict[str, str | None]:
    """The variables of the operator's container."""
    (container,) = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable.get("value") for variable in container["env"]}


def test_lint_finds_nothing(helm: Helm) -> None:
    """`helm lint --strict` is clean."""
    linted = helm("lint", "--strict", CHART, "--set", "prometheus.url=http://prometheus:9090")

    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "prometheus.url is required"),
        (["prometheus.url=prometheus:9090"], "/prometheus/url"),
        (["prometheus.url=http://p", "prometeus.url=x"], "additional properties 'prometeus' not allowed"),
        (["prometheus.url=http://p", "enforcement.enabled=no way"], "/enforcement/enabled"),
        (["prometheus.url=http://p", "intervalSeconds=0"], "/intervalSeconds"),
        (["prometheus.url=http://p", "prometheus.basicAuth.username=me"], "passwordSecretRef.name beside it"),
        (
            [
                "prometheus.url=http://p",
                "prometheus.tokenSecretRef.name=token",
                "prometheus.basicAuth.username=me",
                "prometheus.basicAuth.passwordSecretRef.name=password",
            ],
            "exclude each other",
        ),
        (["prometheus.url=http://p", "replicas=2"], "need ledger.postgresql.urlSecretRef.name"),
        (["prometheus.url=http://p", "replicas=0"], "/replicas"),
    ],
)
def test_bad_values_are_refused_by_name(helm: Helm, values: list[str], said: str) -> None:
    """The message names the value, and says what to write where that is not plain."""
    refused = helm("template", CHART, *[part for value in values for part in ("--set", value)])

    assert refused.returncode != 0
    assert said in refused.stderr


def test_crds_are_the_repository_s_and_survive_an_uninstall(render: Render) -> None:
    """Nothing but the annotation that keeps them differs from `crds/`."""
    rendered = {
        item["metadata"]["name"]: item for item in render() if item["kind"].startswith("CustomResource")
    }
    written = [yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("*.yaml")]
    for crd in rendered.values():
        assert crd["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}

    assert {crd["metadata"]["name"]: crd for crd in written} == rendered


@pytest.mark.parametrize(
    ("value", "annotations"), [("crds.keep=false", [None] * 5), ("crds.enabled=false", [])]
)
def test_crds_can_be_left_out_or_let_go(render: Render, value: str, annotations: list[None]) -> None:
    """`crds.keep` and `crds.enabled` do what they say."""
    crds = [item for item in render(value) if item["kind"] == "CustomResourceDefinition"]

    assert annotations == [crd["metadata"].get("annotations") for crd in crds]


def test_credentials_reach_the_operator_as_files(render: Render) -> None:
    """No secret stands in a variable or an argument; they rotate under a running pod."""
    objects = render(
        "prometheus.tokenSecretRef.name=prometheus-token",
        "prometheus.caSecretRef.name=prometheus-ca",
        "prometheus.clientCertSecretRef.name=prometheus-client",
        "prometheus.tenant=team-a",
    )
    pod = only(objects, "Deployment")["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    secrets = {
        volume["name"]: volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume
    }
    variables = environment(objects)

    assert variables["AIBUDGET_PROMETHEUS_TENANT"] == "team-a"
    for variable, secret in (
        ("TOKEN_FILE", "prometheus-token"),
        ("CA_FILE", "prometheus-ca"),
        ("CERT_FILE", "prometheus-client"),
        ("KEY_FILE", "prometheus-client"),
    ):
        file = variables[f"AIBUDGET_PROMETHEUS_{variable}"]
        assert file is not None
        assert secrets[mounts[str(Path(file).parent)]] == secret


def test_policies_of_shared_cost_reach_the_operator(render: Render) -> None:
    """The ConfigMap is the file that the operator reads; without a policy there is neither."""
    objects = render(
        "sharedCost.default.policy=Proportional,sharedCost.systemNamespaces={gpu-operator}",
        "sharedCost.nodePools[0].name=h100,sharedCost.nodePools[0].policy=Fixed",
        "sharedCost.nodePools[0].shares[0].team=search,sharedCost.nodePools[0].shares[0].weight=3",
    )
    configuration = only(objects, "ConfigMap", "aibudget-shared-cost")["data"]["shared-cost.yaml"]
    sharing = parse_sharing("shared-cost.yaml", yaml.safe_load(configuration))
    pod = only(objects, "Deployment")["spec"]["template"]["spec"]
    mounts = {one["name"]: one["mountPath"] for one in pod["containers"][0]["volumeMounts"]}

    assert environment(objects)["AIBUDGET_SHARED_COST"] == f"{mounts['shared-cost']}/shared-cost.yaml"
    assert {"name": "shared-cost", "configMap": {"name": "aibudget-shared-cost"}} in pod["volumes"]
    assert (sharing.default.policy, sharing.of("h100").policy) == ("Proportional", "Fixed")
    assert sharing.system_namespaces == ("gpu-operator",)
    assert "AIBUDGET_SHARED_COST" not in environment(render())


def test_what_grids_emit_reaches_the_operator(render: Render) -> None:
    """As a file of the shape that `aibudget usage --carbon` reads; without an entry there is none."""
    at = "carbon[0]"
    objects = render(
        f"{at}.source=contract,{at}.year=2026,{at}.pue=1,{at}.gramsPerKilowattHour.on-prem=20",
        f"{at}.from=2026-11-01T00:00:00Z",
    )
    configuration = only(objects, "ConfigMap", "aibudget-carbon")["data"]["carbon.yaml"]
    (entry,) = grids(configuration, "carbon.yaml")
    pod = only(objects, "Deployment")["spec"]["template"]["spec"]
    mounts = {one["name"]: one["mountPath"] for one in pod["containers"][0]["volumeMounts"]}
    assert environment(objects)["AIBUDGET_CARBON"] == f"{mounts['carbon']}/carbon.yaml"
    assert {"name": "carbon", "configMap": {"name": "aibudget-carbon"}} in pod["volumes"]
    assert entry.grams_per_kilowatt_hour == {"on-prem": 20}
    assert "AIBUDGET_CARBON" not in environment(render())


def test_receivers_reach_the_operator_with_their_secrets_as_files(render: Render) -> None:
    """The ConfigMap is the file that the operator reads: no secret in it, and what it names is mounted."""
    at = "notification.receivers"
    objects = render(
        f"{at}[0].name=vision-slack,{at}[0].type=Slack,{at}[0].namespaces={{team-vision}}",
        f"{at}[0].urlSecretRef.name=slack,{at}[0].urlSecretRef.key=vision",
        f"{at}[1].name=alerts,{at}[1].type=Alertmanager,{at}[1].url=http://alertmanager.monitoring:9093",
        f"{at}[1].allowHttp=true,{at}[1].allowedNetworks={{10.96.0.0/12}}",
        f"{at}[1].headers[0].name=X-Scope-OrgID,{at}[1].headers[0].value=ops",
        f"{at}[1].headers[1].name=Authorization,{at}[1].headers[1].secretRef.name=am",
        f"{at}[1].headers[1].secretRef.key=token",
        f"{at}[1].caSecretRef.name=am,{at}[1].caSecretRef.key=ca",
    )
    configuration = only(objects, "ConfigMap", "aibudget-receivers")["data"]["receivers.yaml"]
    receivers = parse("receivers.yaml", yaml.safe_load(configuration))
    pod = only(objects, "Deployment")["spec"]["template"]["spec"]
    (volume,) = [one["projected"]["sources"] for one in pod["volumes"] if one["name"] == "receivers"]
    (mount,) = [
        one["mountPath"] for one in pod["containers"][0]["volumeMounts"] if one["name"] == "receivers"
    ]
    files = {
        f"{mount}/{item['path']}": (source["secret"]["name"], item["key"])
        for source in volume
        if "secret" in source
        for item in source["secret"]["items"]
    }

    assert environment(objects)["AIBUDGET_RECEIVERS"] == f"{mount}/receivers.yaml"
    assert volume[0] == {"configMap": {"name": "aibudget-receivers"}}
    assert [one.name for one in receivers] == ["vision-slack", "alerts"]
    named = [(str(path), files[str(path)]) for one in receivers for path in one.files.values()]
    assert [secret for _, secret in named] == [("slack", "vision"), ("am", "ca"), ("am", "token")]
    assert len(files) == len(named)


@pytest.mark.parametrize(
    "values",
    [
        "name=a,{at}.type=Slack,{at}.url=https://hooks.example",
        "name=a,{at}.type=Webhook",
        "name=a,{at}.type=Pager,{at}.url=https://hooks.example",
        "name=a,{at}.type=Webhook,{at}.url=https://hooks.example,{at}.password=x",
    ],
)
def test_a_receiver_that_the_operator_would_refuse_is_refused_by_helm(helm: Helm, values: str) -> None:
    """A Slack address in plain text, no address at all, an unknown type, an unknown field."""
    at = "notification.receivers[0]"
    given = ["prometheus.url=http://p", f"{at}." + values.format(at=at)]
    refused = helm("template", CHART, *[part for value in given for part in ("--set", value)])

    assert refused.returncode != 0
    assert "/notification/receivers/0" in refused.stderr


def test_without_receivers_nothing_is_mounted(render: Render) -> None:
    """The file and its variable are there only where somebody is to be told."""
    objects = render()

    assert "AIBUDGET_RECEIVERS" not in environment(objects)
    maps = [item["metadata"]["name"] for item in objects if item["kind"] == "ConfigMap"]
    assert maps == ["aibudget-fences"]


def test_two_replicas_are_kept_apart_and_drained_one_by_one(render: Render) -> None:
    """On one node both would go at once; of one replica a PodDisruptionBudget would stop every drain."""
    objects = render("replicas=2", "leaseSeconds=8", "ledger.postgresql.urlSecretRef.name=ledger")
    deployment, disruption = only(objects, "Deployment"), only(objects, "PodDisruptionBudget")
    pods = deployment["spec"]["template"]
    spread = pods["spec"]["topologySpreadConstraints"]

    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"].get("strategy", {}).get("type") != "Recreate"
    assert environment(objects)["AIBUDGET_LEASE_SECONDS"] == "8"
    assert {one["topologyKey"] for one in spread} == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    for selector in (disruption["spec"]["selector"], *(one["labelSelector"] for one in spread)):
        assert selector["matchLabels"].items() <= pods["metadata"]["labels"].items()
    assert not [item for item in render() if item["kind"] == "PodDisruptionBudget"]


def test_without_persistence_there_is_no_claim(render: Render) -> None:
    """A cluster without storage can still try it."""
    objects = render("persistence.enabled=false")
    volumes = only(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]

    assert not [item for item in objects if item["kind"] == "PersistentVolumeClaim"]
    assert {"name": "ledger", "emptyDir": {}} in volumes


def test_an_existing_claim_is_used_as_it_is(render: Render) -> None:
    """A restored ledger is mounted, and no second claim is made."""
    objects = render("persistence.existingClaim=restored")
    volumes = only(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]

    assert not [item for item in objects if item["kind"] == "PersistentVolumeClaim"]
    assert {"name": "ledger", "persistentVolumeClaim": {"claimName": "restored"}} in volumes


def test_a_ledger_on_a_server_needs_no_volume(render: Render) -> None:
    """Its address, with the password, comes from a Secret and is in no argument; replicas may overlap."""
    objects = render(
        "ledger.postgresql.urlSecretRef.name=ledger-app", "ledger.postgresql.caSecretRef.name=ledger-ca"
    )
    deployment = only(objects, "Deployment")["spec"]
    container = deployment["template"]["spec"]["containers"][0]
    given = {variable["name"]: variable for variable in container["env"]}

    assert not [item for item in objects if item["kind"] == "PersistentVolumeClaim"]
    assert "strategy" not in deployment
    assert given["AIBUDGET_LEDGER_URL"]["valueFrom"] == {"secretKeyRef": {"name": "ledger-app", "key": "uri"}}
    assert (given["PGSSLMODE"]["value"], given["PGSSLROOTCERT"]["value"]) == (
        "verify-full",
        "/etc/aibudget/ledger/ca.crt",
    )
    assert {"name": "ledger-ca", "mountPath": "/etc/aibudget/ledger", "readOnly": True} in container[
        "volumeMounts"
    ]
    assert "ledger" not in {volume["name"] for volume in deployment["template"]["spec"]["volumes"]}


def test_a_service_monitor_needs_its_kind(render: Render) -> None:
    """Without the Prometheus Operator an enabled monitor is left out instead of failing the release."""
    served = ("monitoring.coreos.com/v1/ServiceMonitor",)
    without = render("serviceMonitor.enabled=true")
    monitor = only(render("serviceMonitor.enabled=true", api_versions=served), "ServiceMonitor")
    service = only(render(), "Service")

    assert not [item for item in without if item["kind"] == "ServiceMonitor"]
    assert not [item for item in render(api_versions=served) if item["kind"] == "ServiceMonitor"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]


def test_no_right_is_a_wildcard_and_writes_are_few(render: Render) -> None:
    """The exact list of what the operator may change; a longer one needs a reason in this test."""
    rules = only(render(), "ClusterRole")["rules"] + only(render(), "Role")["rules"]
    writes = {
        f"{verb} {'/'.join(filter(None, (group, resource)))}"
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if verb not in {"get", "list", "watch"}
    }

    assert "*" not in str(rules)
    assert writes == {
        "create events",
        "create coordination.k8s.io/leases",
        "patch coordination.k8s.io/leases",
        "patch aibudget.io/aibudgets/status",
        "patch aibudget.io/clusteraibudgets/status",
        "patch aibudget.io/aipricelists/status",
        "patch aibudget.io/aimeters/status",
        "patch aibudget.io/holds/status",
        "create aibudget.io/holds",
        "patch aibudget.io/holds",
        "delete aibudget.io/holds",
        "create resourcequotas",
        "patch resourcequotas",
        "delete resourcequotas",
        "patch configmaps",
        "operate aibudget.io/holds",
        "patch pods",
        *(f"patch apps/{kind}" for kind in ("deployments", "replicasets", "statefulsets", "daemonsets")),
        *(f"patch batch/{kind}" for kind in ("jobs", "cronjobs")),
    }


def test_without_enforcement_no_workload_can_be_changed(render: Render) -> None:
    """The switch takes the right away and does not only ask the operator to behave."""
    objects = render("enforcement.enabled=false")
    rules = only(objects, "ClusterRole")["rules"]

    assert environment(objects)["AIBUDGET_ENFORCEMENT"] == "off"
    assert not [
        rule for rule in rules if {"apps", "batch"} & {*rule["apiGroups"]} and "patch" in rule["verbs"]
    ]
