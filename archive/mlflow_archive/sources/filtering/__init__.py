"""MLflow's search syntax, judged here for sources that cannot be asked."""
