"""Every option of `aibudget run`, declared once.

Its flag, its variables, how its text is read, what it is for. The command line, its help and the error
messages are made from `OPTIONS`. Files that hold tokens and passwords are named here and not read: they
rotate. Knows nothing of what a text may be: that is `values`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aibudget.controller import values


@dataclass(frozen=True, slots=True)
class Option:
    """One setting: its flag is `--name-with-dashes`; `variables` are asked in order.

    A `default` is text, too. What is `secret` is in no message.
    """

    name: str
    read: Callable[[str], Any]
    write: str
    help: str
    default: str | None = None
    optional: bool = False
    also: tuple[str, ...] = ()
    secret: bool = False

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    @property
    def variables(self) -> tuple[str, ...]:
        return (f"AIBUDGET_{self.name.upper()}", *self.also)


_FILE: Final = "the path of a file that can be read"
_MATCHERS: Final = 'PromQL matchers such as cluster="eu-1",env="prod"'

OPTIONS: Final = (
    Option(
        "prometheus_url",
        values.url,
        "an address such as http://prometheus.monitoring:9090",
        "Where Prometheus (or Thanos, Mimir, VictoriaMetrics) answers queries.",
    ),
    Option(
        "prometheus_token_file",
        values.file,
        _FILE,
        "Bearer token, read again at each request.",
        optional=True,
    ),
    Option("prometheus_username", values.text, "a name", "User of basic authentication.", optional=True),
    Option("prometheus_password_file", values.file, _FILE, "Password of that user.", optional=True),
    Option("prometheus_ca_file", values.file, _FILE, "Certificate authority of Prometheus.", optional=True),
    Option("prometheus_cert_file", values.file, _FILE, "Client certificate.", optional=True),
    Option("prometheus_key_file", values.file, _FILE, "Key of the client certificate.", optional=True),
    Option("prometheus_tenant", values.text, "a tenant's id", "Sent as X-Scope-OrgID.", optional=True),
    Option(
        "prometheus_timeout_seconds",
        values.seconds(1, 600),
        "whole seconds from 1 to 600",
        "How long one query may take.",
        default="30",
    ),
    Option(
        "cluster", values.name, "a name such as eu-1", "This cluster's name in the ledger.", default="default"
    ),
    Option(
        "cluster_matchers",
        values.matchers_of,
        _MATCHERS,
        "Go into every selector; needed where one Prometheus holds several clusters.",
        default=" ",
    ),
    Option(
        "kube_state_metrics_matchers",
        values.matchers_of,
        _MATCHERS,
        "Select kube-state-metrics.",
        default='job="kube-state-metrics"',
    ),
    Option(
        "dcgm_matchers",
        values.matchers_of,
        _MATCHERS,
        "Select dcgm-exporter.",
        default='job=~".*dcgm-exporter.*"',
    ),
    Option(
        "node_pool_label",
        values.label,
        "the key of a label such as example.com/pool",
        "Node label that names a node's pool, before those of Karpenter, EKS, GKE and AKS.",
        default=" ",
    ),
    Option(
        "workload_labels",
        values.keys,
        "keys of labels separated by commas, at most 8, such as app.kubernetes.io/part-of",
        "Labels of pods that usage is kept with, as they were at the time.",
        default=" ",
    ),
    Option(
        "live_prices",
        values.live_prices,
        "off, karpenter or opencost",
        "Whose live prices of machines are asked for, once an hour, where no AIPriceList says more.",
        default="off",
    ),
    Option(
        "interval_seconds",
        values.seconds(1, 900),
        "whole seconds from 1 to 900, such as 60",
        "From one cycle to the next.",
        default="60",
    ),
    Option(
        "ledger_url",
        values.ledger,
        "an address such as sqlite:////var/lib/aibudget/ledger.db or postgresql://user@host/database",
        "The database that keeps usage and charges. One with a password belongs into the variable.",
        default="sqlite:////var/lib/aibudget/ledger.db",
        secret=True,
    ),
    Option(
        "retention_months",
        values.whole(2, 240),
        "a whole number from 2 to 240, such as 13",
        "For how many whole months before this one usage is kept; that of open periods always is.",
        default="13",
    ),
    Option(
        "namespace",
        values.name,
        "the operator's namespace",
        "Where the Lease and the kill switch are.",
        default="aibudget-system",
        also=("POD_NAMESPACE",),
    ),
    Option(
        "identity",
        values.text,
        "a name for this process",
        "Told in the Lease.",
        default="aibudget",
        also=("POD_NAME", "HOSTNAME"),
    ),
    Option(
        "untouchable_namespaces",
        values.names,
        "names separated by commas",
        "Never acted upon, besides kube-* and the operator's own.",
        default=" ",
    ),
    Option(
        "bind",
        values.address,
        "host:port, such as 0.0.0.0:8080",
        "Probes and metrics.",
        default="0.0.0.0:8080",
    ),
    Option(
        "lease_seconds",
        values.seconds(3, 300),
        "whole seconds from 3 to 300, such as 10",
        "How long a leader that fell silent keeps the others out.",
        default="10",
    ),
    Option(
        "enforcement",
        values.switch,
        "on or off",
        "Off: nothing new is held; what is held is given back as far as the operator's rights allow.",
        default="on",
    ),
    Option(
        "stops_at_most",
        values.whole(1, 100_000),
        "a whole number from 1 to 100000, such as 50",
        "How many workloads may be stopped in --stops-seconds, in the whole cluster.",
        default="50",
    ),
    Option(
        "stops_percent",
        values.whole(1, 100),
        "a whole number from 1 to 100, such as 25",
        "How much of the cluster's accelerator pods may be stopped in --stops-seconds; 16 pods always may.",
        default="25",
    ),
    Option(
        "stops_seconds",
        values.seconds(10, 3600),
        "whole seconds from 10 to 3600, such as 300",
        "The span of time in which stops are counted.",
        default="300",
    ),
    Option(
        "wave_accelerators",
        values.whole(1, 100_000),
        "a whole number from 1 to 100000, such as 64",
        "How many accelerators are given back in one wave, when more than these come back at once.",
        default="64",
    ),
    Option(
        "wave_ready_seconds",
        values.seconds(1, 3600),
        "whole seconds from 1 to 3600, such as 120",
        "How long a wave waits for the pods of the one before it to be ready.",
        default="120",
    ),
    Option(
        "restore_within_seconds",
        values.seconds(1, 86_400),
        "whole seconds from 1 to 86400, such as 900",
        "In how long everything is given back, however slow its waves are.",
        default="900",
    ),
    Option(
        "receivers",
        values.receivers_of,
        "the path of a YAML file such as /etc/aibudget/receivers.yaml",
        "File of the receivers that budgets may name in spec.notify; see how-to/notify-people.md.",
        default=" ",
    ),
    Option(
        "shared_cost",
        values.sharing_of,
        "the path of a YAML file such as /etc/aibudget/shared-cost.yaml",
        "File of the policies by which idle and shared cost is divided; see how-to/share-idle-cost.md.",
        default=" ",
    ),
    Option(
        "carbon",
        values.carbon_of,
        "the path of a YAML file such as /etc/aibudget/carbon.yaml",
        "File of what grids emit, after the public averages, for caps in kgCO2e; see how-to/count-carbon.md.",
        default=" ",
    ),
    Option(
        "anomaly_least_amount",
        values.number(10**9),
        "a number such as 10 or 2.50",
        "Unusual spend is told if it differs by so much at least, in the currency of its budget.",
        default="10",
    ),
    Option(
        "anomaly_least_percent",
        values.number(100),
        "a number from 0 to 100, such as 0.5",
        "Unusual spend is told if it differs by so much of the limit, or of its part for a month, at least.",
        default="0.5",
    ),
    Option("log_level", values.level, "DEBUG, INFO, WARNING or ERROR", "How much is logged.", default="INFO"),
)
