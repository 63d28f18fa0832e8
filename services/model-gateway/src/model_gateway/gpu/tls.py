"""Who this gateway is to a GPU node, and which authority a node is believed by."""

import ssl
from pathlib import Path

from model_gateway.errors import GpuUnavailable

AUTHORITY, CERTIFICATE, KEY = "node_authority", "node_client_certificate", "node_client_key"


def client_context(secrets_dir: Path) -> ssl.SSLContext:
    """Return the way to speak to nodes: TLS 1.3, our certificate, their authority alone. Raises GpuUnavailable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cafile=secrets_dir / AUTHORITY)
        context.load_cert_chain(secrets_dir / CERTIFICATE, secrets_dir / KEY)
    except (OSError, ssl.SSLError) as error:
        raise GpuUnavailable(
            "The gateway's certificate for the GPU nodes is missing or unusable.",
            fix="Run `make up`: it makes the certificates of the house's own authority.",
        ) from error
    return context
