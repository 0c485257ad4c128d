"""How a session is written: as a cookie's value, or as a store's record.

    base64url.py    base64 in its one canonical spelling
    inflate.py      one zlib stream, with a limit
    signed.py       cookies that can be read but not changed: Flask's format
    keyring.py      AES-256-GCM with a key of its own for every message
    encrypted.py    cookies and records that cannot be read either (needs cryptography)
    records.py      readable records, bound to their key; several byte strings as one

The encrypted format is written down in ``docs/encrypted-format.md``.
"""
