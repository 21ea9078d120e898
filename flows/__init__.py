"""Orchestration only: a file is a flow is a deployment."""

import os

from pco_network.proxies import prepare_proxies

prepare_proxies(os.environ)  # before Prefect makes its first client, which may lead to this very machine
