"""AIBudget: a Kubernetes operator that meters, prices and budgets AI workloads."""
