"""Manifests for Kubernetes: workers and topics by hand, a Deployment for each profile of a model from code."""
