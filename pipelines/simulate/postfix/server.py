"""A private Postfix on loopback, in a folder of its own, that answers as the traffic wants."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

__all__ = ["PostfixError", "PostfixServer"]

_PATH: Final = "/usr/sbin:/sbin:/usr/bin:/bin"
_MAIN: Final = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
myhostname = mx1.fw.example
mydestination =
mynetworks =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = all
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_client_port_logging = yes
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
smtpd_recipient_restrictions =
    reject_unauth_destination
    reject_unlisted_recipient
    check_policy_service {{ inet:127.0.0.1:{policy_port}, timeout=60s, default_action=DUNNO }}
smtpd_milters = inet:127.0.0.1:{milter_port}
milter_default_action = accept
virtual_mailbox_domains = texthash:{folder}/etc/domains
virtual_mailbox_maps = texthash:{folder}/etc/mailboxes
virtual_transport = discard:
default_transport = discard:
recipient_delimiter = +
enable_long_queue_ids = yes
in_flow_delay = 0
max_use = 20000
max_idle = 600s
smtputf8_enable = no
"""
_MASTER: Final = """\
127.0.0.1:{smtp_port} inet n - n - {sessions} smtpd
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
proxymap  unix - - n - - proxymap
smtp      unix - - n - - smtp
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class PostfixError(Exception):
    """Postfix is missing, may not be started here, or failed; the message says which and why."""


class PostfixServer:
    """Starts and stops one Postfix instance below `folder` (a new folder that it may fill).

    Needs root, because Postfix does.
    """

    def __init__(self, folder: Path, ports: tuple[int, int, int], sessions: int) -> None:
        self.folder = folder
        self.smtp_port, self._policy_port, self._milter_port = ports
        self._sessions = sessions

    @property
    def log(self) -> Path:
        """The log that this instance writes."""
        return self.folder / "mail.log"

    def start(self, domains: set[str], mailboxes: set[str]) -> None:
        """Write the configuration and start.

        Raises:
            PostfixError: not installed, not root, or Postfix refused its configuration.
        """
        if shutil.which("postfix", path=_PATH) is None:
            raise PostfixError("postfix: not found; install it (Debian: apt-get install postfix)")
        if os.geteuid() != 0:
            raise PostfixError(f"postfix: got user id {os.geteuid()}, must be started as root (0)")
        etc = self.folder / "etc"
        for part in ("etc", "queue", "data"):
            (self.folder / part).mkdir(parents=True)
        # Postfix's own user must be able to pass every folder above its own.
        for parent in (self.folder, *self.folder.parents):
            if not parent.stat().st_mode & 0o001:
                raise PostfixError(
                    f"{parent}: got mode {parent.stat().st_mode & 0o777:o}, "
                    "others must be able to pass it (chmod o+x)"
                )
        shutil.chown(self.folder / "data", user="postfix")
        (etc / "domains").write_text("".join(f"{name} 1\n" for name in sorted(domains)))
        (etc / "mailboxes").write_text("".join(f"{name} 1\n" for name in sorted(mailboxes)))
        values = {
            "folder": self.folder,
            "policy_port": self._policy_port,
            "milter_port": self._milter_port,
            "smtp_port": self.smtp_port,
            "sessions": self._sessions + 4,
        }
        (etc / "main.cf").write_text(_MAIN.format(**values))
        (etc / "master.cf").write_text(_MASTER.format(**values))
        self._control("start")

    def stop(self) -> None:
        """Stop, letting deliveries under way finish."""
        self._control("stop")

    def _control(self, verb: str) -> None:
        done = subprocess.run(  # noqa: S603
            ["/usr/sbin/postfix", "-c", str(self.folder / "etc"), verb],
            env={"PATH": _PATH},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = " ".join((done.stdout + done.stderr).split())
            tail = self.log.read_text(errors="replace")[-500:] if self.log.exists() else ""
            raise PostfixError(f"postfix {verb}: failed ({done.returncode}): {said} {tail}")
