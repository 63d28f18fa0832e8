"""`python -m node_agent.joining`: show the house a one-time token, and keep the certificate that it gives.

A one-shot: the token comes on stdin, the files go to LARES_NODE_TLS_DIR. The house is believed by the fingerprint of its
web authority in the token before a byte of the secret is sent. Exits with 1 and a coded line on stderr.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import socket
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path

from contracts.gpunode import JOIN_PATH, JoinAnswer, JoinAsk, JoinToken
from kit.errors import KitError
from kit.settings import load, setting
from pydantic import ValidationError

from node_agent import renewing, tls

PREFIX = "lares1."
SECONDS_MAX = 15.0
BYTES_MAX = 64 * 1024
AUTHORITY_PATH = "/lares-ca.crt"


class TokenUnreadable(KitError):
    code, status = "node.token_unreadable", 422
    reason = "This is no token of `make gpu-node`, or a part of it is missing."
    fix = "Copy the whole word that begins with lares1. and run `make up JOIN=...` again."


class HouseUnreachable(KitError):
    code, status = "node.house_unreachable", 503
    reason = "The house does not answer at the address in the token."
    fix = "Check that both machines are on the same network and that the house is up; then make a new token."


class HouseNotBelieved(KitError):
    code, status = "node.house_not_believed", 403
    reason = "What answers at the house's address is not the house that made the token. Nothing secret was sent."
    fix = (
        "Make a new token on the house; if it happens again, somebody is between the two machines."
    )


class HouseRefused(KitError):
    code, status = "node.house_refused", 403
    reason = "The house did not let this node in."
    fix = "Read what the house said, and make a new token there: `make gpu-node`."


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the certificate goes."""

    tls_dir: Path = setting(
        "LARES_NODE_TLS_DIR",
        default=Path("/var/lib/lares/node"),
        help="Folder of the node's key, its certificate and the house's authority.",
    )


def read_token(text: str) -> JoinToken:
    """Return what a token says. Raises TokenUnreadable."""
    word = text.strip()
    if not word.startswith(PREFIX) or len(word) > 2000:
        raise TokenUnreadable()
    body = word.removeprefix(PREFIX)
    try:
        decoded = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        return JoinToken.model_validate_json(decoded)
    except (ValueError, ValidationError):
        raise TokenUnreadable() from None


def believing(token: JoinToken) -> ssl.SSLContext:
    """Return a context that believes the token's house alone. Raises HouseUnreachable, HouseNotBelieved."""
    if token.authority_sha256 is None:
        context = ssl.create_default_context()
    else:
        plain = http.client.HTTPConnection(token.house, token.http_port, timeout=SECONDS_MAX)
        status, body = _exchange(plain, "GET", AUTHORITY_PATH, token.host)
        try:
            der = ssl.PEM_cert_to_DER_cert(body.decode())
        except ValueError:
            raise HouseNotBelieved() from None
        found = hashlib.sha256(der).hexdigest()
        # It came over plain http from whoever answered: the fingerprint alone says whose it is.
        if status != 200 or not hmac.compare_digest(found, token.authority_sha256):
            raise HouseNotBelieved()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=body.decode())
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


class _ToHouse(http.client.HTTPSConnection):
    """To the house's address, believed under the house's name: the node need not be able to resolve it."""

    def __init__(self, token: JoinToken, context: ssl.SSLContext) -> None:
        super().__init__(token.house, token.https_port, timeout=SECONDS_MAX, context=context)
        self._name, self._tls = token.host, context

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), timeout=SECONDS_MAX)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self._name)


def _exchange(
    connection: http.client.HTTPConnection, method: str, path: str, host: str, body: str = ""
) -> tuple[int, bytes]:
    headers = {"Host": host, "Content-Type": "application/json", "Connection": "close"}
    try:
        connection.request(method, path, body=body or None, headers=headers)
        answer = connection.getresponse()
        content = answer.read(BYTES_MAX + 1)
    except ssl.SSLError:
        raise HouseNotBelieved() from None
    except (OSError, http.client.HTTPException):
        raise HouseUnreachable() from None
    finally:
        connection.close()
    if len(content) > BYTES_MAX:
        raise HouseRefused("The house's answer is far too long.")
    return answer.status, content


def join(token: JoinToken, folder: Path) -> JoinAnswer:
    """Make a key, have it signed, check the answer and keep all of it. Raises the errors above, CertificateRefused."""
    context = believing(token)
    key, csr = renewing.new_request(token.node)
    ask = JoinAsk(token=token.secret, node=token.node, address=token.address, csr=csr)
    connection = _ToHouse(token, context)
    status, body = _exchange(connection, "POST", JOIN_PATH, token.host, ask.model_dump_json())
    if status != 200:
        raise _refusal(body)
    try:
        answer = JoinAnswer.model_validate_json(body)
    except ValidationError:
        raise HouseRefused("The house's answer cannot be read.") from None
    certificate = renewing.check(answer.certificate.encode(), key, answer.authority.encode())
    if token.address not in renewing.names(certificate):
        raise tls.CertificateRefused()
    # The certificate last: whoever finds it finds the other two.
    tls.keep(folder, tls.AUTHORITY, answer.authority.encode())
    tls.keep(folder, tls.KEY, key)
    tls.keep(folder, tls.CERTIFICATE, answer.certificate.encode())
    (folder / tls.NEXT_KEY).unlink(missing_ok=True)
    return answer


def _refusal(body: bytes) -> HouseRefused:
    try:
        said = json.loads(body)["error"]
        return HouseRefused(
            f"The house did not let this node in: {said['code']}: {str(said['reason'])[:300]}",
            fix=str(said["fix"])[:300],
        )
    except (ValueError, KeyError, TypeError):
        return HouseRefused()


def main() -> int:
    """Join with the token on stdin."""
    settings = load(Settings)
    try:
        answer = join(read_token(sys.stdin.read(4096)), settings.tls_dir)
    except KitError as error:
        sys.stderr.write(f"ERROR {error.code}: {error.reason}\n  What to do: {error.fix}\n")
        return 1
    sys.stdout.write(f"{answer.node} belongs to the house until {answer.expires_at:%Y-%m-%d}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
