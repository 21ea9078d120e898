"""For clients that speak plain HTTP only: to read all authorities of the system from disk costs more than a request."""

import ssl
from typing import Final

NOBODY: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts no server."""
