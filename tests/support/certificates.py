"""A certificate authority of a test's own, which Chromium trusts."""

from __future__ import annotations

import datetime
import shutil
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.services import missing


def make_trusted(directory: Path, *hosts: str) -> tuple[Path, Path]:
    """A file with a key and a certificate for the hosts, and a home directory under which Chromium trusts it."""
    authority, root = ec.generate_private_key(ec.SECP256R1()), _name("an authority for tests")
    ca = _signed(_builder(root, root, authority), authority, is_authority=True)
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
    builder = _builder(_name(hosts[0]), root, key).add_extension(names, critical=False)
    certificate = _signed(builder, authority, is_authority=False)
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    served, trusted = directory / "served.pem", directory / "ca.pem"
    served.write_bytes(private + certificate.public_bytes(encoding))
    trusted.write_bytes(ca.public_bytes(encoding))
    return served, _home_that_trusts(trusted, directory / "home")


def _home_that_trusts(ca: Path, home: Path) -> Path:
    certutil = shutil.which("certutil") or missing("certutil (Debian: libnss3-tools)")
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    for command in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "tests", "-i", str(ca)]):
        subprocess.run([certutil, "-d", f"sql:{database}", *command], check=True)
    return home


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))


def _signed(
    builder: x509.CertificateBuilder, authority: ec.EllipticCurvePrivateKey, *, is_authority: bool
) -> x509.Certificate:
    builder = builder.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    return builder.sign(authority, hashes.SHA256())
