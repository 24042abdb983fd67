"""Every option of `aibudget run`, declared once.

Its flag, its variables, how its text is read, what it is for. The command line, its help and the error
messages are made from `OPTIONS`. Files that hold tokens and passwords are named here and not read: they
rotate. Pure but for asking whether a named file is there, and for reading the files of receivers and
of shared cost's policies.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from aibudget.api.fields import NAME_PATTERN
from aibudget.api.selector import KEY_PATTERN
from aibudget.budgeting.sharing import Sharing
from aibudget.controller.policies import carbon, sharing
from aibudget.errors import Stalled
from aibudget.metering.promql import Matchers, matchers
from aibudget.metering.tariffs import TariffSource
from aibudget.notification.files import receivers
from aibudget.notification.receivers import Receiver
from aibudget.pricing.carbon import Carbon


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


def _text(text: str) -> str:
    return text.strip()


def _url(text: str) -> str:
    parts = urlsplit(text.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("no http or https address")
    if parts.username or parts.password:
        raise ValueError("credentials do not belong into an address")
    if parts.query or parts.fragment:
        raise ValueError("an address with a query")
    _ = parts.port
    return text.strip().rstrip("/")


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise ValueError("no such file")
    return path


def _seconds(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,6}", text.strip(), re.ASCII):
            raise ValueError("not a number of seconds")
        value = int(text)
        if not low <= value <= high:
            raise ValueError(f"not between {low} and {high}")
        return value

    return read


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,7}", text.strip(), re.ASCII):
            raise ValueError("not a whole number")
        value = int(text)
        if not low <= value <= high:
            raise ValueError(f"not between {low} and {high}")
        return value

    return read


def _number(high: int) -> Callable[[str], float]:
    def read(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,2})?", text.strip(), re.ASCII):
            raise ValueError("no number with at most two decimals")
        if float(text) > high:
            raise ValueError(f"more than {high}")
        return float(text)

    return read


def _matchers(text: str) -> Matchers:
    try:
        return matchers(text)
    except Stalled as error:
        raise ValueError("no matchers") from error


def _label(text: str) -> str:
    if text.strip() and not re.fullmatch(KEY_PATTERN.removesuffix("$"), text.strip()):
        raise ValueError("not the key of a label")
    return text.strip()


def _keys(text: str) -> tuple[str, ...]:
    found = tuple(sorted({_label(part) for part in text.split(",") if part.strip()}))
    if len(found) > MOST_LABELS:
        raise ValueError("too many")
    return found


def _name(text: str) -> str:
    if len(text) > 63 or not re.fullmatch(NAME_PATTERN.removesuffix("$"), text):
        raise ValueError("not a name of Kubernetes")
    return text


def _names(text: str) -> tuple[str, ...]:
    return tuple(sorted({_name(part.strip()) for part in text.split(",") if part.strip()}))


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.strip().rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or int(port) > 65535:
        raise ValueError("not host:port")
    return host.strip("[]"), int(port)


def _switch(text: str) -> bool:
    match text.strip().lower():
        case "on" | "true" | "yes" | "1":
            return True
        case "off" | "false" | "no" | "0":
            return False
    raise ValueError("neither on nor off")


def _live_prices(text: str) -> TariffSource | None:
    match text.strip().lower():
        case "off":
            return None
        case "karpenter" | "opencost" as source:
            return source
    raise ValueError("none of these")


def _level(text: str) -> str:
    level = text.strip().upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ValueError("no such level")
    return level


def _ledger(text: str) -> str:
    server = r"postgres(ql)?://([^/?#]+/[^/?#@]+|/?)(\?.*)?"
    if not re.fullmatch(rf"sqlite:///[^:].*|{server}", text.strip()):
        raise ValueError("neither a file of SQLite nor a database of PostgreSQL")
    return text.strip()


def _receivers(text: str) -> tuple[Receiver, ...]:
    return receivers(Path(text.strip())) if text.strip() else ()


def _sharing(text: str) -> Sharing:
    return sharing(Path(text.strip())) if text.strip() else Sharing()


def _carbon(text: str) -> Carbon:
    return carbon(Path(text.strip()) if text.strip() else None)


MOST_LABELS: Final = 8
"""Each set of values is a line of its own in the ledger."""
_FILE: Final = "the path of a file that can be read"
_MATCHERS: Final = 'PromQL matchers such as cluster="eu-1",env="prod"'

OPTIONS: Final = (
    Option(
        "prometheus_url",
        _url,
        "an address such as http://prometheus.monitoring:9090",
        "Where Prometheus (or Thanos, Mimir, VictoriaMetrics) answers queries.",
    ),
    Option("prometheus_token_file", _file, _FILE, "Bearer token, read again at each request.", optional=True),
    Option("prometheus_username", _text, "a name", "User of basic authentication.", optional=True),
    Option("prometheus_password_file", _file, _FILE, "Password of that user.", optional=True),
    Option("prometheus_ca_file", _file, _FILE, "Certificate authority of Prometheus.", optional=True),
    Option("prometheus_cert_file", _file, _FILE, "Client certificate.", optional=True),
    Option("prometheus_key_file", _file, _FILE, "Key of the client certificate.", optional=True),
    Option("prometheus_tenant", _text, "a tenant's id", "Sent as X-Scope-OrgID.", optional=True),
    Option(
        "prometheus_timeout_seconds",
        _seconds(1, 600),
        "whole seconds from 1 to 600",
        "How long one query may take.",
        default="30",
    ),
    Option("cluster", _name, "a name such as eu-1", "This cluster's name in the ledger.", default="default"),
    Option(
        "cluster_matchers",
        _matchers,
        _MATCHERS,
        "Go into every selector; needed where one Prometheus holds several clusters.",
        default=" ",
    ),
    Option(
        "kube_state_metrics_matchers",
        _matchers,
        _MATCHERS,
        "Select kube-state-metrics.",
        default='job="kube-state-metrics"',
    ),
    Option(
        "dcgm_matchers", _matchers, _MATCHERS, "Select dcgm-exporter.", default='job=~".*dcgm-exporter.*"'
    ),
    Option(
        "node_pool_label",
        _label,
        "the key of a label such as example.com/pool",
        "Node label that names a node's pool, before those of Karpenter, EKS, GKE and AKS.",
        default=" ",
    ),
    Option(
        "workload_labels",
        _keys,
        "keys of labels separated by commas, at most 8, such as app.kubernetes.io/part-of",
        "Labels of pods that usage is kept with, as they were at the time.",
        default=" ",
    ),
    Option(
        "live_prices",
        _live_prices,
        "off, karpenter or opencost",
        "Whose live prices of machines are asked for, once an hour, where no AIPriceList says more.",
        default="off",
    ),
    Option(
        "interval_seconds",
        _seconds(1, 900),
        "whole seconds from 1 to 900, such as 60",
        "From one cycle to the next.",
        default="60",
    ),
    Option(
        "ledger_url",
        _ledger,
        "an address such as sqlite:////var/lib/aibudget/ledger.db or postgresql://user@host/database",
        "The database that keeps usage and charges. One with a password belongs into the variable.",
        default="sqlite:////var/lib/aibudget/ledger.db",
        secret=True,
    ),
    Option(
        "retention_months",
        _whole(2, 240),
        "a whole number from 2 to 240, such as 13",
        "For how many whole months before this one usage is kept; that of open periods always is.",
        default="13",
    ),
    Option(
        "namespace",
        _name,
        "the operator's namespace",
        "Where the Lease and the kill switch are.",
        default="aibudget-system",
        also=("POD_NAMESPACE",),
    ),
    Option(
        "identity",
        _text,
        "a name for this process",
        "Told in the Lease.",
        default="aibudget",
        also=("POD_NAME", "HOSTNAME"),
    ),
    Option(
        "untouchable_namespaces",
        _names,
        "names separated by commas",
        "Never acted upon, besides kube-* and the operator's own.",
        default=" ",
    ),
    Option(
        "bind", _address, "host:port, such as 0.0.0.0:8080", "Probes and metrics.", default="0.0.0.0:8080"
    ),
    Option(
        "lease_seconds",
        _seconds(3, 300),
        "whole seconds from 3 to 300, such as 10",
        "How long a leader that fell silent keeps the others out.",
        default="10",
    ),
    Option(
        "enforcement",
        _switch,
        "on or off",
        "Off: nothing new is held; what is held is given back as far as the operator's rights allow.",
        default="on",
    ),
    Option(
        "stops_at_most",
        _whole(1, 100_000),
        "a whole number from 1 to 100000, such as 50",
        "How many workloads may be stopped in --stops-seconds, in the whole cluster.",
        default="50",
    ),
    Option(
        "stops_percent",
        _whole(1, 100),
        "a whole number from 1 to 100, such as 25",
        "How much of the cluster's accelerator pods may be stopped in --stops-seconds; 16 pods always may.",
        default="25",
    ),
    Option(
        "stops_seconds",
        _seconds(10, 3600),
        "whole seconds from 10 to 3600, such as 300",
        "The span of time in which stops are counted.",
        default="300",
    ),
    Option(
        "wave_accelerators",
        _whole(1, 100_000),
        "a whole number from 1 to 100000, such as 64",
        "How many accelerators are given back in one wave, when more than these come back at once.",
        default="64",
    ),
    Option(
        "wave_ready_seconds",
        _seconds(1, 3600),
        "whole seconds from 1 to 3600, such as 120",
        "How long a wave waits for the pods of the one before it to be ready.",
        default="120",
    ),
    Option(
        "restore_within_seconds",
        _seconds(1, 86_400),
        "whole seconds from 1 to 86400, such as 900",
        "In how long everything is given back, however slow its waves are.",
        default="900",
    ),
    Option(
        "receivers",
        _receivers,
        "the path of a YAML file such as /etc/aibudget/receivers.yaml",
        "File of the receivers that budgets may name in spec.notify; see how-to/notify-people.md.",
        default=" ",
    ),
    Option(
        "shared_cost",
        _sharing,
        "the path of a YAML file such as /etc/aibudget/shared-cost.yaml",
        "File of the policies by which idle and shared cost is divided; see how-to/share-idle-cost.md.",
        default=" ",
    ),
    Option(
        "carbon",
        _carbon,
        "the path of a YAML file such as /etc/aibudget/carbon.yaml",
        "File of what grids emit, after the public averages, for caps in kgCO2e; see how-to/count-carbon.md.",
        default=" ",
    ),
    Option(
        "anomaly_least_amount",
        _number(10**9),
        "a number such as 10 or 2.50",
        "Unusual spend is told if it differs by so much at least, in the currency of its budget.",
        default="10",
    ),
    Option(
        "anomaly_least_percent",
        _number(100),
        "a number from 0 to 100, such as 0.5",
        "Unusual spend is told if it differs by so much of a month's limit at least.",
        default="0.5",
    ),
    Option("log_level", _level, "DEBUG, INFO, WARNING or ERROR", "How much is logged.", default="INFO"),
)
