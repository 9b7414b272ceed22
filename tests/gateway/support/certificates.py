"""Certificates made for a test: a private authority, and what it vouches for."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    def __init__(self, folder, name="bench"):
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} authority")])
        basic = x509.BasicConstraints(ca=True, path_length=0)
        self.certificate = _certificate(self.name, self.name, self.key.public_key(), self.key, basic, [])
        self.file = folder / f"{name}-ca.pem"
        self.file.write_bytes(_pem(self.certificate))

    def issue(self, host, name=None):
        """Makes a certificate for `host`; returns the files of chain and key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        basic = x509.BasicConstraints(ca=False, path_length=None)
        made = _certificate(subject, self.name, key.public_key(), self.key, basic, [host])
        stem = self.folder / (name or host)
        cert, key_file = stem.with_suffix(".pem"), stem.with_suffix(".key")
        cert.write_bytes(_pem(made))
        key_file.touch(mode=0o600)
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return cert, key_file


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def _certificate(subject, issuer, public, signer, basic, hosts):
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(basic, critical=True)
    )
    if hosts:
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signer, hashes.SHA256())
