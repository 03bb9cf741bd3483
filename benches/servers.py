"""The throw-away servers that `testkit run` started, and the command-line programs of their kind."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Server:
    """One MySQL or MariaDB server."""

    flavor: str
    version: str
    url: str
    host: str
    port: int
    user: str
    password: str
    pid: int

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of its programs."""
        return {"MYSQL_PWD": self.password}

    def program(self, kind: str, *arguments: str) -> list[str]:
        """Return the command line of `mysql` or `mysqldump` for this server, with TLS, which dbgraft uses by default."""
        tls = {"mysql": "--ssl-mode=REQUIRED", "mariadb": "--ssl"}[self.flavor]
        address = [f"--host={self.host}", f"--port={self.port}", f"--user={self.user}", "--protocol=tcp", tls]
        return [_program(self.flavor, kind), "--no-defaults", *address, *arguments]

    def sql(self, statements: str) -> str:
        """Run statements and return their output."""
        command = self.program("mysql", "--batch", "--skip-column-names", "--local-infile=1", f"--execute={statements}")
        environment = os.environ | self.environment
        return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


@dataclass(frozen=True)
class Bucket:
    """A bucket of the S3 server."""

    name: str
    pid: int
    directory: Path

    def bytes_below(self, prefix: str) -> int:
        """Return the bytes of all objects below a prefix, from the server's files."""
        files = (self.directory / self.name / prefix).rglob("*")
        return sum(path.stat().st_size for path in files if path.is_file())


@dataclass(frozen=True)
class Host:
    """A host that is reached by SSH."""

    url: str
    host: str
    port: int
    user: str
    identity: str
    known_hosts: str

    def ssh(self, url: str, command: str) -> list[str]:
        """Return the command line that runs a command on the host, over the link `url`."""
        known = [f"-oUserKnownHostsFile={self.known_hosts}", f"-oHostKeyAlias=[{self.host}]:{self.port}"]
        port = ["-p", str(urlsplit(url).port)]
        return ["ssh", "-F", "none", "-T", "-i", self.identity, *known, *port, f"{self.user}@{self.host}", command]


def hosts() -> tuple[Host, Host]:
    """Return the hosts next to the source and the target, with URLs that contain the login key."""
    pair = json.loads(os.environ["DBGRAFT_TESTKIT"])["sshd"]

    def host(side: str) -> Host:
        fields = {name: value for name, value in pair[side].items() if name in Host.__dataclass_fields__}
        return Host(**fields | {"url": os.environ[f"DBGRAFT_TEST_SSH_{side.upper()}"]})

    return host("source"), host("target")


def running(flavor: str) -> tuple[Server, Server, Bucket]:
    """Return the source, the target and the bucket."""
    running_servers = json.loads(os.environ["DBGRAFT_TESTKIT"])
    fields = Server.__dataclass_fields__
    pair = running_servers[flavor]
    source, target = (
        Server(**{name: value for name, value in pair[side].items() if name in fields}) for side in ("source", "target")
    )
    s3 = running_servers["s3"]
    return source, target, Bucket(s3["bucket"], s3["pid"], Path(s3["data_dir"]))


def _program(flavor: str, kind: str) -> str:
    """Return the path of a program, as the test kit finds it."""
    if flavor == "mariadb":
        name = {"mysql": "mariadb", "mysqldump": "mariadb-dump"}[kind]
        return shutil.which(name) or name
    if mysqld := os.environ.get("DBGRAFT_TEST_MYSQLD"):
        directory = Path(mysqld).parent
        paths = (path for path in (directory / kind, directory.parent / "bin" / kind) if path.is_file())
        return str(next(paths, kind))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dbgraft-testkit"

    def version(path: Path) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", path.parts[-3])]

    return str(max(cache.glob(f"mysql-*/bin/{kind}"), key=version))
