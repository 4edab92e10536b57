"""The target itself: a server, or a store through MLflow's own app in this process."""
