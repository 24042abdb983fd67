"""What people and machines see: status and conditions, Events, the operator's metrics, usage tables."""
