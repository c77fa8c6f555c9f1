"""Kubernetes as every other room reaches it: kubectl, Helm, manifests, quantities."""
