"""One supervised cycle for all budgets; kopf watches beside it and writes nothing."""
