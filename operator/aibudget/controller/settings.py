"""How one operator process is set up: flags and AIBUDGET_… variables become one frozen `Settings`, once.

A bad value ends the process before anything is started, with the option's name, the value and what to write
instead. Knows the options, and nothing of what they do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from aibudget.budgeting.sharing import Sharing
from aibudget.controller.options import OPTIONS, Option
from aibudget.errors import Stalled
from aibudget.metering.promql import Matchers
from aibudget.metering.tariffs import TariffSource
from aibudget.metering.transport import PrometheusSettings
from aibudget.notification.receivers import Receiver
from aibudget.pricing.carbon import Carbon

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class InvalidSetting(Stalled):
    """An option has a value that cannot be used; the message names it and says what to write."""

    def __init__(self, message: str) -> None:
        super().__init__("InvalidSetting", message)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything `serve` needs to know."""

    prometheus: PrometheusSettings
    cluster: str
    cluster_matchers: Matchers
    kube_state_metrics_matchers: Matchers
    dcgm_matchers: Matchers
    node_pool_label: str
    workload_labels: tuple[str, ...]
    live_prices: TariffSource | None
    interval_seconds: int
    ledger_url: str
    retention_months: int
    namespace: str
    identity: str
    untouchable_namespaces: tuple[str, ...]
    bind: tuple[str, int]
    lease_seconds: int
    enforcement: bool
    stops_at_most: int
    stops_percent: int
    stops_seconds: int
    wave_accelerators: int
    wave_ready_seconds: int
    restore_within_seconds: int
    receivers: tuple[Receiver, ...]
    shared_cost: Sharing
    carbon: Carbon
    anomaly_least_amount: float
    anomaly_least_percent: float
    log_level: LogLevel


def settings(flags: Mapping[str, str | None], environment: Mapping[str, str]) -> Settings:
    """Flags win over variables, variables over defaults; raises `InvalidSetting`."""
    values = {option.name: _value(option, flags.get(option.name), environment) for option in OPTIONS}
    return Settings(prometheus=_prometheus(values), **values)


def _value(option: Option, flag: str | None, environment: Mapping[str, str]) -> Any:
    sources = [(option.flag, flag), *((name, environment.get(name)) for name in option.variables)]
    # An empty variable is an unset one: that is what Helm and Compose write for "nothing".
    source, text = next(((name, text) for name, text in sources if text), (option.flag, option.default))
    if text is None:
        if option.optional:
            return None
        raise InvalidSetting(
            f"{option.flag} is not given: write {option.write}, or set {option.variables[0]}."
        )
    try:
        return option.read(text)
    except ValueError as error:
        given = "not right" if option.secret else repr(text)
        raise InvalidSetting(f"{source} is {given} ({error}): write {option.write}.") from error


def _prometheus(values: dict[str, Any]) -> PrometheusSettings:
    def take(name: str) -> Any:
        return values.pop(f"prometheus_{name}")

    url, tenant, timeout = take("url"), take("tenant"), take("timeout_seconds")
    try:
        return PrometheusSettings(
            url=url,
            bearer_token_file=take("token_file"),
            username=take("username"),
            password_file=take("password_file"),
            ca_file=take("ca_file"),
            client_certificate=take("cert_file"),
            client_key=take("key_file"),
            headers={"X-Scope-OrgID": tenant} if tenant else {},
            timeout=float(timeout),
            # One cycle's queries, back-fill aside, must come to an end while the Lease is held.
            budget=4.0 * timeout,
            # Whoever is asked without TLS is mostly in the same cluster.
            packed=url.startswith("https:"),
        )
    except Stalled as error:
        raise InvalidSetting(error.message) from error
