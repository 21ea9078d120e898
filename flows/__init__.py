"""Orchestration only: a file is a flow is a deployment."""
