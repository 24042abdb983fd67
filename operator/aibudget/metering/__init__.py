"""Prometheus samples become `Usage`: quantities of a meter, never money."""
