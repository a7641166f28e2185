"""Nodes to try sealboot on without any machine at hand."""
