"""A real control plane, Prometheus and GPU nodes on a laptop, for the demo and the tests."""
