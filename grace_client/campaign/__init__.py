"""One model after another on a cluster, within a budget of GPU-hours."""
