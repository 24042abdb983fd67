"""`aibudget …`, which is `kubectl aibudget …` too."""
