"""A Slurm of this machine's own: munged, slurmctld and a slurmd for each node that it pretends to have, in one folder.

    python experiments/torture/cluster.py FOLDER [--nodes 3] [--accounts]

starts one and keeps it until Ctrl-C; `export SLURM_CONF=FOLDER/slurm.conf` has sbatch and squeue find it. It needs
slurm-wlm and munge of Debian, for --accounts slurmdbd and mariadb-server; no privileges, and no service.
"""

import argparse
import getpass
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
NEEDED_FOR_ACCOUNTS = ("slurmdbd", "mariadbd", "mariadb-install-db", "mariadb")
SECONDS_TO_START = 60
SECONDS_TO_END = 10
SECONDS_UNTIL_DOWN = 10  # of silence, after which a node counts as lost

CONFIGURATION = """
ClusterName=one
SlurmctldHost=localhost
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/state/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdTimeout={seconds_until_down}
ReturnToService=2
KillWait=5
{accounts}
NodeName=node[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs=1 State=UNKNOWN
PartitionName=cpu Nodes=node[1-{nodes}] Default=YES MaxTime=INFINITE OverTimeLimit=0 State=UP
PartitionName=urgent Nodes=node[1-{nodes}] PriorityTier=10 State=UP
"""

ACCOUNTS = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={accounting}
AccountingStoragePass={folder}/munge.socket
"""

ACCOUNTANT = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdPort={accounting}
SlurmUser={user}
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
"""


def lacking(accounts: bool = False) -> list[str]:
    """The programs that a cluster needs and this machine lacks."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    return [name for name in NEEDED + NEEDED_FOR_ACCOUNTS * accounts if shutil.which(name, path=path) is None]


class Cluster:
    """A cluster of `nodes` nodes with a processor each; up within the `with` block.

    accounts: whether it has a slurmdbd, so that sacct answers; there are clusters of both kinds.
    """

    def __init__(self, folder: Path, nodes: int = 3, accounts: bool = False):
        self.folder, self.nodes, self.accounts = folder.resolve(), nodes, accounts
        self.daemons: dict[str, subprocess.Popen] = {}
        self.environment = os.environ | {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
        }

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "state").mkdir(exist_ok=True)
        self._configure()
        try:
            self._start("munged", "--foreground", "--force", *self._of_munge())
            self._wait_for((self.folder / "munge.socket").exists, "munged")
            if self.accounts:
                self._start_accounts()
            self.start_controller()
            for node in range(1, self.nodes + 1):
                self.start_node(f"node{node}")
            self._wait_for(self._is_idle, "the nodes")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed(list(self.daemons)):
            self.stop(name)

    def start_controller(self) -> None:
        """Start slurmctld, also one that was stopped or killed."""
        self._start("slurmctld", "-D", "-i")

    def start_node(self, node: str) -> None:
        """Start the slurmd of a node, also one that was stopped or killed."""
        self._start("slurmd", "-D", "-N", node, name=node)

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a daemon (`slurmctld`, `node2`) a signal that ends it, and see that it has ended; its jobs live on."""
        process = self.daemons.pop(name)
        process.send_signal(number)
        try:
            process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def ask(self, *command: str) -> str:
        """What a command of Slurm's prints. Raises subprocess.CalledProcessError."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout

    def jobs(self) -> dict[str, str]:
        """The state of every job that has not ended, by its id."""
        return dict(line.split() for line in self.ask("squeue", "--noheader", "--format=%i %T").splitlines())

    # ---- starting

    def _configure(self) -> None:
        controller, accounting, self._database, first = _free_ports(4, self.nodes)
        known = dict(folder=self.folder, user=getpass.getuser(), accounting=accounting, database=self._database)
        slurm = CONFIGURATION.format(
            **known,
            controller=controller,
            host=socket.gethostname().partition(".")[0],
            nodes=self.nodes,
            first=first,
            last=first + self.nodes - 1,
            seconds_until_down=SECONDS_UNTIL_DOWN,
            accounts=ACCOUNTS.format(**known) if self.accounts else "",
        )
        (self.folder / "slurm.conf").write_text(slurm)
        for name, content in (("munge.key", os.urandom(1024)), ("slurmdbd.conf", ACCOUNTANT.format(**known).encode())):
            (self.folder / name).unlink(missing_ok=True)
            (self.folder / name).touch(0o600)
            (self.folder / name).write_bytes(content)

    def _of_munge(self) -> list[str]:
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed", "log-file": "log"}
        return [f"--{option}={self.folder}/munge.{end}" for option, end in files.items()]

    def _start(self, program: str, *words: str, name: str = "", **changes: str) -> None:
        with open(self.folder / f"{name or program}.out", "ab") as out:
            self.daemons[name or program] = subprocess.Popen(
                [program, *words], env=self.environment | changes, stdout=out, stderr=out, start_new_session=True
            )

    def _start_accounts(self) -> None:
        data, at = self.folder / "database", self.folder / "database.socket"
        if not data.exists():
            self.ask("mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db")
        places = (f"--datadir={data}", f"--socket={at}", f"--port={self._database}", "--bind-address=127.0.0.1")
        self._start("mariadbd", "--no-defaults", f"--user={getpass.getuser()}", *places, "--performance-schema=off")
        made = "CREATE USER IF NOT EXISTS slurm@localhost IDENTIFIED BY 'slurm'"
        user = f"{made}; GRANT ALL ON slurm.* TO slurm@localhost"
        login = ("mariadb", "--no-defaults", f"--socket={at}", f"--user={getpass.getuser()}")
        self._wait_for(lambda: self._is_answered(*login, "--execute", user), "mariadbd")
        self._start("slurmdbd", "-D", SLURM_CONF=str(self.folder / "slurmdbd.conf"))
        self._wait_for(lambda: self._is_answered("sacctmgr", "show", "cluster"), "slurmdbd")
        self._is_answered("sacctmgr", "--immediate", "add", "cluster", "one")  # which may be there already

    def _is_answered(self, *command: str) -> bool:
        return subprocess.run(command, env=self.environment, capture_output=True, check=False).returncode == 0

    def _is_idle(self) -> bool:
        if not self._is_answered("scontrol", "ping"):
            return False
        states = self.ask("sinfo", "--noheader", "--format=%T", "--Node", "--partition=cpu").split()
        return states == ["idle"] * self.nodes

    def _wait_for(self, condition: object, what: str) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while not condition():
            ended = [name for name, process in self.daemons.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                said = "\n".join((self.folder / f"{name}.out").read_text()[-1000:] for name in ended)
                raise RuntimeError(f"{what} did not start; {' '.join(ended)} ended; see {self.folder}/*.log\n{said}")
            time.sleep(0.1)


def _free_ports(count: int, in_a_row: int) -> list[int]:
    """Ports that nobody listens at; behind the last one as many more as `in_a_row` says, less one."""
    while True:
        first = random.randrange(20_000, 32_000)  # above are those that the system hands out itself
        ports = range(first, first + count + in_a_row - 1)
        if all(_is_free(port) for port in ports):
            return list(ports[:count])


def _is_free(port: int) -> bool:
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) != 0


def main() -> None:
    """Keep a cluster up until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--accounts", action="store_true", help="with a slurmdbd, so that sacct answers")
    given = parser.parse_args()
    if missing := lacking(given.accounts):
        packages = "slurm-wlm munge" + " slurmdbd mariadb-server" * given.accounts
        raise SystemExit(f"{', '.join(missing)} not found; on Debian: apt install {packages}")
    with Cluster(given.folder, given.nodes, given.accounts) as cluster:
        print(f"export SLURM_CONF={cluster.folder}/slurm.conf", flush=True)
        ends = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # not before: the daemons would be deaf to them
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
