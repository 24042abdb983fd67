"""`aibudget usage`: a time range metered and priced straight from Prometheus, with no cluster and no
ledger.
"""

import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

import click

from aibudget.api.names import TEAM_LABEL
from aibudget.cli.words import Instant, Step
from aibudget.errors import Stalled
from aibudget.metering.slots import SLOT_SECONDS, Interval, iso, slot_of, snapped


def _flag(name: str, metavar: str, text: str, default: str | None = None) -> Callable[[Any], Any]:
    variable = f"AIBUDGET_{name.removeprefix('--').replace('-', '_').upper()}"
    return click.option(
        name,
        envvar=variable,
        metavar=metavar,
        default=default,
        help=text,
        show_envvar=True,
        show_default=bool(default),
    )


def _connection(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flags of `aibudget run` that say how Prometheus is reached, under the same names and variables."""
    for flag in reversed(
        (
            _flag("--prometheus-token-file", "FILE", "Bearer token."),
            _flag("--prometheus-username", "NAME", "User of basic authentication."),
            _flag("--prometheus-password-file", "FILE", "Password of that user."),
            _flag("--prometheus-ca-file", "FILE", "Certificate authority of Prometheus."),
            _flag("--prometheus-cert-file", "FILE", "Client certificate."),
            _flag("--prometheus-key-file", "FILE", "Key of the client certificate."),
            _flag("--prometheus-tenant", "ID", "Sent as X-Scope-OrgID."),
            _flag("--cluster-matchers", "MATCHERS", 'Go into every selector, such as cluster="eu-1".', ""),
            _flag(
                "--kube-state-metrics-matchers",
                "MATCHERS",
                "Select kube-state-metrics.",
                'job="kube-state-metrics"',
            ),
        )
    ):
        command = flag(command)
    return command


@click.command()
@click.option(
    "--prometheus",
    "url",
    envvar="AIBUDGET_PROMETHEUS_URL",
    required=True,
    metavar="URL",
    help="Where Prometheus answers queries, such as http://localhost:9090.",
    show_envvar=True,
)
@click.option(
    "--from",
    "start",
    type=Instant(),
    required=True,
    metavar="TIME",
    help="2026-03-01T00:00:00Z or 2026-03-01.",
)
@click.option(
    "--to", "end", type=Instant(), required=True, metavar="TIME", help="The end, itself not included."
)
@click.option(
    "--prices",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="An AIPriceList to lay over the public prices; may be repeated.",
)
@click.option(
    "--meters",
    "own",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="An AIMeter to read as well; may be repeated.",
)
@click.option(
    "--carbon",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="What grids emit and PUE, after the public averages; see docs/how-to/count-carbon.md.",
)
@click.option(
    "--shared-cost",
    "policies",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="AIBUDGET_SHARED_COST",
    metavar="FILE",
    help="Policies by which idle and shared cost is divided; see docs/how-to/share-idle-cost.md.",
    show_envvar=True,
)
@click.option(
    "--by",
    type=click.Choice(["namespace", "team", "workload", "model", "nodepool"]),
    default="namespace",
    show_default=True,
    help="Sum by.",
)
@click.option(
    "--meter",
    "meters",
    multiple=True,
    metavar="NAME",
    help="Read this meter only, built in or of --meters; may be repeated. All that have a price or a source "
    "if absent.",
)
@_flag("--team-label", "KEY", "Label of a namespace that names its team.", TEAM_LABEL)
@_flag("--workload-labels", "KEYS", "Labels of pods to tell workloads with, in JSON and CSV.", "")
@_flag("--node-pool-label", "KEY", "Label of a node that names its pool, before the usual ones.", "")
@click.option("--step", type=Step(), default="auto", show_default=True, help="Sampling step in seconds.")
@click.option(
    "--compare",
    is_flag=True,
    help="Beside as much time before: what costs more or less, and why. Not in CSV.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="How to print.",
)
@_connection
def usage(
    start: int,
    end: int,
    prices: tuple[Path, ...],
    own: tuple[Path, ...],
    carbon: Path | None,
    by: str,
    meters: tuple[str, ...],
    output: str,
    compare: bool,
    **given: Any,
) -> None:
    """Meter and price a time range, with no cluster and no ledger.

    The range is widened to whole quarters of an hour, and what has not happened yet is left out. A
    workload stands under the name that people know it by, such as InferenceService/llm, as far as
    Prometheus tells it. Teams and such names need labels that kube-state-metrics exports only where
    its --metric-labels-allowlist names them.
    """
    from aibudget.controller import policies as files
    from aibudget.metering.prometheus import Prometheus, PrometheusSettings
    from aibudget.reporting.usage import UsageReport
    from aibudget.reporting.usagechange import as_fields, as_lines
    from aibudget.reporting.usageformats import as_csv, as_json, as_table

    if compare and output == "csv":
        raise click.BadParameter("a CSV has rows of one range; write -o json.", param_hint="'--compare'")
    definitions = _chosen(tuple(_definitions(own)), meters)
    book, policies = _book(prices, definitions), given.pop("policies")
    with Prometheus(_reached(PrometheusSettings, given)) as prometheus:
        now = int(prometheus.time())
        interval = _past(start, end, now)
        report = UsageReport(interval, by, book, files.carbon(carbon))  # type: ignore[arg-type]  # one of its choices
        report.units = {one.name: one.spec.unit for one in definitions}
        report.sharing = None if policies is None else files.sharing(policies)
        given |= {"now": now, "own": definitions}
        _read(prometheus, report, frozenset(meters), given)
        compared = _compared(prometheus, report, frozenset(meters), given) if compare else None
    for problem in report.problems:
        click.echo(f"note: {problem}", err=True)
    if not report.coverage.covered_seconds:
        raise Stalled("NothingKnown", f"Nothing is known of {iso(interval.start)} to {iso(interval.end)}.")
    match output:
        case "json":
            click.echo(as_json(report, None if compared is None else as_fields(compared)))
        case "csv":
            click.echo(as_csv(report))
        case _:
            # Programs that read a table get whole names; people get lines that do not break.
            width = get_terminal_size().columns if sys.stdout.isatty() else None
            click.echo(as_table(report, width))
            if compared is not None:
                click.echo(f"\n{as_lines(compared, report, width)}")


def _compared(prometheus: Any, report: Any, meters: frozenset[str], given: dict[str, Any]) -> Any:
    """The range beside the one before it, which is read like it."""
    from aibudget.reporting.usage import UsageReport
    from aibudget.reporting.usagechange import compared, preceding

    before = UsageReport(preceding(report.interval), report.by, report.book, report.carbon)
    before.units = report.units
    _read(prometheus, before, meters, given)
    report.problems.update({f"Before it: {problem}": None for problem in before.problems})
    return compared(before, report)


def _read(prometheus: Any, report: Any, meters: frozenset[str], given: dict[str, Any]) -> None:
    """Read the range into the report, part by part, with a bar where somebody looks on."""
    from aibudget.metering.labels import Teams, Wanted, read_kin, read_pod_labels, read_teams
    from aibudget.metering.promql import matchers
    from aibudget.metering.readout import Readout
    from aibudget.metering.scene import MeterSettings, Scenes

    settings = MeterSettings(
        step=given["step"],
        cluster=matchers(given["cluster_matchers"]),
        kube_state_metrics=matchers(given["kube_state_metrics_matchers"]),
        utilisation=False,
        node_pool_label=given["node_pool_label"],
        workload_labels=tuple(key.strip() for key in given["workload_labels"].split(",") if key.strip()),
    )
    scenes = Scenes(prometheus, settings)
    readout = Readout(scenes, meters or _wanted(report.book), given["now"], given["own"])
    teams, label, told, read_at = Teams(), given["team_label"], None, None
    labels, length = Wanted(settings.workload_labels), report.interval.seconds * readout.steps
    with click.progressbar(
        length=length, label="Reading", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        prometheus.begin()
        for part, readings in readout.parts(report.interval):
            if part != read_at:
                read_at = part
                if report.by == "team":
                    teams = read_teams(prometheus, settings.queries, part, label)
                    report.problems.update(dict.fromkeys([] if teams else [_unlabelled(label)]))
                if settings.workload_labels:
                    told = read_pod_labels(prometheus, settings.queries, part, labels)
            if report.by in ("workload", "model") and any(one.links for one in readings.values()):
                readout.owners = read_kin(prometheus, settings.queries, part, readout.owners)
            for meter, reading in readings.items():
                said = reading if told is None else told.on(reading, readout.owners)
                report.add(meter, said, readout.owners, teams)
            bar.update(part.seconds)
            prometheus.begin()


def _wanted(book: Any) -> frozenset[str]:
    """Devices always, what pods reserve only where that has a price, and whatever else tells of itself."""
    from aibudget.metering.readout import METERS
    from aibudget.metering.reservation import RESERVED

    return frozenset(meter for meter in METERS if meter not in RESERVED or meter in book.meters)


def _unlabelled(label: str) -> str:
    return (
        f"kube_namespace_labels tells no label {label}, so that teams are unknown. Let kube-state-metrics "
        f"export it with --metric-labels-allowlist=namespaces=[{label}], or name another with --team-label."
    )


def _past(start: int, end: int, now: int) -> Interval:
    """The whole slots of the range that have passed. Raises Stalled where there are none."""
    if end <= start:
        raise Stalled("InvalidRange", "--to must be after --from.")
    whole = snapped(Interval(start, end))
    last = min(whole.end, slot_of(now))
    if last - whole.start < SLOT_SECONDS:
        raise Stalled(
            "InvalidRange", f"No quarter of an hour of this range has passed: it is {iso(now)} there."
        )
    return Interval(whole.start, last)


def _reached(settings: Callable[..., Any], given: dict[str, Any]) -> Any:
    def file(name: str) -> Path | None:
        return Path(given[f"prometheus_{name}_file"]) if given[f"prometheus_{name}_file"] else None

    tenant = given["prometheus_tenant"]
    return settings(
        url=given["url"],
        bearer_token_file=file("token"),
        username=given["prometheus_username"],
        password_file=file("password"),
        ca_file=file("ca"),
        client_certificate=file("cert"),
        client_key=file("key"),
        headers={"X-Scope-OrgID": tenant} if tenant else {},
    )


def _book(files: tuple[Path, ...], meters: Collection[Any] = ()) -> Any:
    """The prices, without those of meters that are to have none."""
    from aibudget.api.pricelist import AIPriceList
    from aibudget.pricing.book import PriceBook
    from aibudget.pricing.listing import exchange_of, rates_of
    from aibudget.pricing.public import public_rates

    lists = [pricelist for file in files for pricelist in _objects(file, AIPriceList)]
    own = (rate for pricelist in lists for rate in rates_of(pricelist))
    unpriced = {one.name for one in meters if not one.spec.priced}
    rates = [rate for rate in (*public_rates(), *own) if rate.meter not in unpriced]
    return PriceBook(rates, (entry for pricelist in lists for entry in exchange_of(pricelist)))


def _definitions(files: tuple[Path, ...]) -> Iterator[Any]:
    from aibudget.api.meter import AIMeter
    from aibudget.metering.definition import Definition

    for file in files:
        yield from (Definition(one.name, one.spec) for one in _objects(file, AIMeter))


def _chosen(own: tuple[Any, ...], meters: tuple[str, ...]) -> tuple[Any, ...]:
    """Of one's own meters those that are to be read. Raises BadParameter on a name that no meter has."""
    from aibudget.metering.readout import METERS

    known = (*METERS, *(one.name for one in own))
    for name in meters:
        if name not in known:
            said = f"{name!r} is no meter. Write one of {', '.join(known)}."
            raise click.BadParameter(said, param_hint="'--meter'")
    return tuple(one for one in own if not meters or one.name in meters)


def _objects(file: Path, kind: type[Any]) -> list[Any]:
    """Every object of a kind in a YAML file. Raises Stalled where there is none, or one is not valid."""
    from aibudget.api.manifests import validate

    report = validate(str(file), file.read_bytes())
    if report.problems:
        raise Stalled("InvalidSpec", "\n".join(map(str, report.problems)))
    found = [one for one in report.valid if isinstance(one, kind)]
    if not found:
        name = kind.__name__
        raise Stalled("NothingThere", f"{file} holds no {name}; name a file that does.")
    return found
