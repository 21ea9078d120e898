"""An error of TLS in words that say what to do."""

import ssl

import httpx
import pytest

from pco_network.trouble import network_trouble


def _refused_certificate(code: int, message: str) -> httpx.ConnectError:
    refused = ssl.SSLCertVerificationError(1, "certificate verify failed")
    refused.verify_code, refused.verify_message = code, message
    error = httpx.ConnectError("no")
    error.__cause__ = refused
    return error


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (18, "SSL_CERT_FILE"),  # self-signed
        (19, "SSL_CERT_FILE"),  # a chain that ends in an authority nobody knows
        (20, "SSL_CERT_FILE"),  # a company's proxy that sends no authority
        (21, "SSL_CERT_FILE"),  # a server that sends no authority
        (9, "this machine's clock"),
        (10, "has expired"),
        (62, "for another host name"),
        (64, "for another address"),
        (23, "not valid (revoked)"),
    ],
)
def test_each_reason_to_refuse_a_certificate_is_told_with_what_helps(code: int, told: str) -> None:
    """The numbers are OpenSSL's X509_V_ERR codes."""
    trouble = network_trouble(_refused_certificate(code, "revoked"))
    assert trouble is not None
    assert told in trouble.words
    assert trouble.is_lasting
