"""The cluster's rules, and checking manifests against them."""
