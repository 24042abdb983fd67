"""A rate that names a resource as manifests do prices what metrics tell under another spelling."""

from aibudget.api.pricelist import AIPriceList
from aibudget.metering.nodes import Nodes
from aibudget.pricing.book import PriceBook
from aibudget.pricing.listing import rates_of


def test_a_resource_is_matched_as_pods_request_it() -> None:
    """`nvidia.com/gpu` in a price list matches what kube-state-metrics calls `nvidia_com_gpu`."""
    prices = AIPriceList.read(
        {
            "apiVersion": "aibudget.io/v1alpha1",
            "kind": "AIPriceList",
            "metadata": {"name": "company"},
            "spec": {
                "currency": "USD",
                "rates": [
                    {
                        "name": "gpu",
                        "meter": "gpu",
                        "match": {"resource": "nvidia.com/gpu"},
                        "unit": "GPU-Hours",
                        "price": "1.25",
                        "from": "2026-01-01T00:00:00Z",
                    }
                ],
            },
        }
    )
    book, nodes, at = PriceBook(rates_of(prices)), Nodes([]), 1_780_000_000
    rate = book.rate(nodes.sku("n", "nvidia_com_gpu", at), at)
    assert rate is not None
    assert rate.label == "company/gpu"
    assert book.rate(nodes.sku("n", "amd_com_gpu", at), at) is None
