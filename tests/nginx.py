"""nginx before all services, as deploy/nginx.conf has it.

with nginx(folder, "127.0.0.1:8085", "127.0.0.1:8086", "127.0.0.1:8087") as port:
    requests.get(f"https://localhost:{port}/pks", verify=folder / "cert.pem")
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import free_port, missing, wait_until

ROOT = Path(__file__).parents[1]
SITE = "count.example.org"


@contextmanager
def nginx(folder: Path, hail: str, whale: str, live: str, port: int = 0) -> Iterator[int]:
    """With deploy/nginx.conf, on another port and with a certificate of its own, of SITE and of localhost; the port."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if not program:
        missing("no nginx: install the package nginx-light")
    port = port or free_port()
    subject = ["-subj", f"/CN={SITE}", "-addext", f"subjectAltName=DNS:{SITE},DNS:localhost"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run(
        [*made, "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"], check=True, capture_output=True
    )
    site = (ROOT / "deploy/nginx.conf").read_text()
    for printed, real in (
        ("127.0.0.1:8085", hail),
        ("127.0.0.1:8086", whale),
        ("127.0.0.1:8087", live),
        ("listen 443", f"listen 127.0.0.1:{port}"),
        (f"/etc/ssl/certs/{SITE}.pem", f"{folder}/cert.pem"),
        (f"/etc/ssl/private/{SITE}.key", f"{folder}/key.pem"),
    ):
        assert printed in site
        site = site.replace(printed, real)
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = f"{user} daemon off; pid {folder}/nginx.pid; events {{}} http {{ {temporary} {site} }}"
    (folder / "nginx.conf").write_text(main)
    log = folder / "nginx.log"
    with log.open("wb") as stream:
        command = [program, "-e", str(log), "-c", str(folder / "nginx.conf")]
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:
        wait_until(lambda: (folder / "nginx.pid").exists() or process.poll() is not None, 30, "nginx")
        assert process.poll() is None, log.read_text()
        yield port
    finally:
        process.terminate()
        process.wait(30)
