"""The three kinds of signature that the policy service's bundles have.

What is signed is ``d``, the SHA-256 of the inner file. EC and RSA hash it once
more (always SHA-256, whatever the curve), Ed25519 signs it as it is.
"""

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from policy_server.jose.keys import PrivateKey, PublicKey

_SHA256: Final = hashes.SHA256()


def verifies(key: PublicKey, digest: bytes, signature: bytes) -> bool:
    """Tell whether a signature over ``digest`` was made by this key."""
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, digest, ec.ECDSA(_SHA256))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, digest, padding.PSS(padding.MGF1(_SHA256), padding.PSS.AUTO), _SHA256)
        else:
            key.verify(signature, digest)
    except InvalidSignature:
        return False
    return True


def sign(key: PrivateKey, digest: bytes) -> bytes:
    """Sign ``digest`` so that ``verifies`` agrees."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(digest, ec.ECDSA(_SHA256))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(digest, padding.PSS(padding.MGF1(_SHA256), padding.PSS.DIGEST_LENGTH), _SHA256)
    return key.sign(digest)
