"""`aibudget crds`: the CustomResourceDefinitions, as the models define them."""

from pathlib import Path

import click

from aibudget.api.crds import crd_documents


@click.command()
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write one file for each into DIR instead of printing them.",
)
def crds(directory: Path | None) -> None:
    """Print the CustomResourceDefinitions, ready for `kubectl apply --server-side -f -`."""
    documents = crd_documents()
    if directory is None:
        click.echo("---\n".join(documents.values()), nl=False)
        return
    directory.mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        (directory / name).write_text(document, encoding="utf-8")
