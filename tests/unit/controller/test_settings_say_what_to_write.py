"""Flags win over variables and these over defaults; a bad value says its name, itself and the way out."""

from pathlib import Path

import pytest

from aibudget.controller.options import OPTIONS
from aibudget.controller.settings import InvalidSetting, settings
from aibudget.errors import Stalled

URL = {"AIBUDGET_PROMETHEUS_URL": "http://prometheus:9090"}


def test_only_the_address_of_prometheus_is_needed() -> None:
    """Everything else has a default that works in a pod."""
    chosen = settings({}, URL)
    assert chosen.prometheus.url == "http://prometheus:9090"
    assert chosen.interval_seconds == 60
    assert chosen.ledger_url == "sqlite:////var/lib/aibudget/ledger.db"
    assert chosen.bind == ("0.0.0.0", 8080)
    assert chosen.enforcement is True


def test_a_flag_wins_over_a_variable() -> None:
    """And a variable over the default."""
    chosen = settings({"interval_seconds": "30"}, {**URL, "AIBUDGET_INTERVAL_SECONDS": "90"})
    assert chosen.interval_seconds == 30
    assert settings({}, {**URL, "AIBUDGET_INTERVAL_SECONDS": "90"}).interval_seconds == 90


def test_an_empty_variable_is_an_unset_one() -> None:
    """Charts and compose files write "" for nothing."""
    assert settings({}, {**URL, "AIBUDGET_INTERVAL_SECONDS": ""}).interval_seconds == 60


def test_the_downward_api_names_the_replica() -> None:
    """POD_NAMESPACE and POD_NAME are read where no variable of ours is set."""
    chosen = settings({}, {**URL, "POD_NAMESPACE": "finops", "POD_NAME": "aibudget-0"})
    assert (chosen.namespace, chosen.identity) == ("finops", "aibudget-0")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AIBUDGET_PROMETHEUS_URL", "prometheus:9090"),
        ("AIBUDGET_PROMETHEUS_URL", "http://user:secret@prometheus:9090"),
        ("AIBUDGET_PROMETHEUS_URL", "http://prometheus:port"),
        ("AIBUDGET_PROMETHEUS_CA_FILE", "/nowhere/ca.crt"),
        ("AIBUDGET_PROMETHEUS_TIMEOUT_SECONDS", "0"),
        ("AIBUDGET_INTERVAL_SECONDS", "5m"),
        ("AIBUDGET_ANOMALY_LEAST_AMOUNT", "-1"),
        ("AIBUDGET_ANOMALY_LEAST_PERCENT", "100.01"),
        ("AIBUDGET_INTERVAL_SECONDS", "0"),
        ("AIBUDGET_INTERVAL_SECONDS", "1e1"),
        ("AIBUDGET_INTERVAL_SECONDS", "٣٠"),
        ("AIBUDGET_NAMESPACE", "Not_A_Name"),
        ("AIBUDGET_UNTOUCHABLE_NAMESPACES", "monitoring,Gpu Operator"),
        ("AIBUDGET_CLUSTER_MATCHERS", "cluster=eu-1"),
        ("AIBUDGET_CLUSTER_MATCHERS", 'cluster="eu"} or vector(1) #'),
        ("AIBUDGET_WORKLOAD_LABELS", "app.kubernetes.io/part of"),
        ("AIBUDGET_WORKLOAD_LABELS", "a,b,c,d,e,f,g,h,i"),
        ("AIBUDGET_NODE_POOL_LABEL", "node pool"),
        ("AIBUDGET_BIND", "8080"),
        ("AIBUDGET_BIND", "0.0.0.0:99999"),
        ("AIBUDGET_LEASE_SECONDS", "1"),
        ("AIBUDGET_ENFORCEMENT", "maybe"),
        ("AIBUDGET_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_bad_value_is_named_with_its_variable_and_the_way_out(variable: str, value: str) -> None:
    """Before anything is started."""
    with pytest.raises(InvalidSetting) as caught:
        settings({}, {**URL, variable: value})
    message = caught.value.message
    assert variable in message
    assert repr(value) in message
    assert ": write " in message
    assert message.endswith(".")


@pytest.mark.parametrize(
    "address",
    [
        "mysql://user:hunter2@ledger/aibudget",
        "postgresql://user:hunter2@ledger",
        "postgresql://user:hunter2/3@ledger",
        "sqlite:///:memory:?hunter2",
        "/var/lib/hunter2.db",
    ],
)
def test_a_bad_address_of_the_ledger_is_not_repeated(address: str) -> None:
    """There may be a password in it, and messages end up in logs."""
    with pytest.raises(
        InvalidSetting, match=r"AIBUDGET_LEDGER_URL is not right .* write .*postgresql://"
    ) as caught:
        settings({}, {**URL, "AIBUDGET_LEDGER_URL": address})
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://aibudget@ledger.finops:5432/aibudget",
        "postgres://aibudget:a%2Fb@[::1]/aibudget?sslmode=require",
        "postgresql:///?host=/run/postgresql&dbname=aibudget",
    ],
)
def test_a_ledger_may_be_on_a_server(address: str) -> None:
    """As CloudNativePG and others write addresses into Secrets."""
    assert settings({}, {**URL, "AIBUDGET_LEDGER_URL": address}).ledger_url == address


def test_policies_of_shared_cost_are_read_once(tmp_path: Path) -> None:
    """A mistake ends the process before anything starts, and names the file and the field."""
    file = tmp_path / "shared-cost.yaml"
    file.write_text("default: {policy: Even}")
    assert settings({}, {**URL, "AIBUDGET_SHARED_COST": str(file)}).shared_cost.divides
    assert not settings({}, URL).shared_cost.divides
    for text, said in (("default: {policy: Fair}", "default.policy"), ("{", "not YAML")):
        file.write_text(text)
        with pytest.raises(Stalled) as caught:
            settings({}, {**URL, "AIBUDGET_SHARED_COST": str(file)})
        assert str(file) in caught.value.message
        assert said in caught.value.message
    with pytest.raises(Stalled, match="cannot be read"):
        settings({}, {**URL, "AIBUDGET_SHARED_COST": str(tmp_path / "none")})


def test_what_grids_emit_is_read_once(tmp_path: Path) -> None:
    """The public averages alone where there is no file; a mistake in one names it."""
    file = tmp_path / "carbon.yaml"
    entry = '{source: s, year: 2026, from: "2026-11-01T00:00:00Z", pue: 2, gramsPerKilowattHour: {home: 10}}'
    file.write_text(f"[{entry}]")
    november = 1_793_491_200
    own = settings({}, {**URL, "AIBUDGET_CARBON": str(file)}).carbon.factor("home", november)
    assert own is not None
    assert own.grams == 20
    assert settings({}, URL).carbon.factor("home", november) is None
    assert settings({}, URL).carbon.factor("europe-west3", november) is not None
    file.write_text(f"[{entry.replace('pue: 2', 'pue: 0')}]")
    with pytest.raises(Stalled, match="pue"):
        settings({}, {**URL, "AIBUDGET_CARBON": str(file)})
    with pytest.raises(Stalled, match="cannot be read"):
        settings({}, {**URL, "AIBUDGET_CARBON": str(tmp_path / "none")})


def test_a_missing_address_names_flag_and_variable() -> None:
    """The first thing that a new user meets."""
    with pytest.raises(InvalidSetting, match=r"--prometheus-url is not given: .* AIBUDGET_PROMETHEUS_URL"):
        settings({}, {})


def test_a_token_and_a_user_exclude_each_other(tmp_path: Path) -> None:
    """Only one of them could be sent."""
    token = tmp_path / "token"
    token.write_text("t")
    with pytest.raises(InvalidSetting, match="not both"):
        settings({"prometheus_token_file": str(token), "prometheus_username": "me"}, URL)


def test_matchers_keep_their_commas_inside_quotes() -> None:
    """A regular expression may hold one."""
    chosen = settings({"cluster_matchers": 'cluster=~"a{1,2}", env!="dev"'}, URL)
    assert [str(matcher) for matcher in chosen.cluster_matchers] == ['cluster=~"a{1,2}"', 'env!="dev"']


def test_the_tenant_travels_in_its_header() -> None:
    """As Mimir and Thanos receive it."""
    assert settings({"prometheus_tenant": "ml"}, URL).prometheus.headers == {"X-Scope-OrgID": "ml"}


def test_answers_are_packed_on_their_way_through_tls() -> None:
    """Whoever is asked without it is mostly in the same cluster, where packing costs more than it saves."""
    far = {"AIBUDGET_PROMETHEUS_URL": "https://thanos.example.com"}
    assert (settings({}, far).prometheus.packed, settings({}, URL).prometheus.packed) == (True, False)


def test_every_option_has_help_and_a_way_out() -> None:
    """The command line is made from them."""
    assert all(option.help.endswith(".") and option.write for option in OPTIONS)
    assert len({option.name for option in OPTIONS}) == len(OPTIONS)
