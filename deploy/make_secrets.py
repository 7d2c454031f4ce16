"""Makes the secrets of docker-compose.yml: random passwords, in deploy/secrets, each only once.

The folder is its owner's alone. The files in it can be read by all, since each container has a user of its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "secrets"
VIEWER = "viewer"


def main() -> None:
    """Write the secrets, and tell the login of the viewer."""
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    if any(FOLDER.iterdir()):
        sys.exit(f"{FOLDER} has secrets already: remove the folder to make new ones")
    redis, pacs, viewer = (secrets.token_urlsafe(24) for _ in range(3))
    pacs_login = base64.b64encode(f"{VIEWER}:{pacs}".encode()).decode()
    contents = {
        "redis_conf": f"requirepass {redis}\n",
        "queue_url": f"redis://:{redis}@redis:6379/0\n",
        "orthanc_users": json.dumps({"RegisteredUsers": {VIEWER: pacs}}) + "\n",
        "viewer_pacs_login": f'proxy_set_header Authorization "Basic {pacs_login}";\n',
        "viewer_users": f"{VIEWER}:{salted(viewer)}\n",
    }
    for name, content in contents.items():
        (FOLDER / name).write_text(content)
        (FOLDER / name).chmod(0o644)
    sys.stdout.write(f"http://127.0.0.1:3000: user {VIEWER}, password {viewer} (it is stored nowhere else)\n")
    sys.stdout.write(f"http://127.0.0.1:8042: user {VIEWER}, the password in {FOLDER}/orthanc_users\n")


def salted(password: str) -> str:
    """Return the salted hash that nginx compares with (RFC 2307, SSHA); the password itself is random."""
    salt = secrets.token_bytes(8)
    digest = hashlib.sha1(password.encode() + salt, usedforsecurity=False).digest()
    return "{SSHA}" + base64.b64encode(digest + salt).decode()


if __name__ == "__main__":
    main()
