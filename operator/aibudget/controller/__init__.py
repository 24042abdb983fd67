"""One supervised cycle for all budgets; kopf watches, posts nothing and hosts the process."""
