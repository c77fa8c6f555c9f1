"""What stands on the cluster's side: models' values, rendered manifests, and the cluster's rules."""
