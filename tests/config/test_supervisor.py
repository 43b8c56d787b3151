"""The supervisor over tiny scripts: real processes, real signals."""

import asyncio
import io
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from config import claim
from config.listening import Address
from config.output import Output
from config.patience import Patience
from config.processes import CannotStart, ProcessSpec
from config.supervisor import Backoff, Supervisor
from config.warden import Warden
from tests.config.probes import is_alive, wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
QUICK = Backoff(first=0.1, most=0.2, healthy=30.0)
SLEEPS = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def script(name: str, source: str, **options: object) -> ProcessSpec:
    return ProcessSpec(name=name, command=[sys.executable, "-c", source], **options)  # type: ignore[arg-type]


def supervise(
    stages: Sequence[Sequence[ProcessSpec]], *steps: Callable[[str], bool], stops: int = 1, backoff: Backoff = QUICK
) -> tuple[int, str]:
    """Run the stages until the output satisfies each step in turn, then stop: the status and all output."""
    stream = io.StringIO()
    supervisor = Supervisor(stages, output=Output(stream), backoff=backoff)

    async def main() -> int:
        running = asyncio.create_task(supervisor.run())
        async with asyncio.timeout(20):
            for step in steps:
                while not step(stream.getvalue()):
                    await asyncio.sleep(0.02)
            for _ in range(stops):
                supervisor.stop()
            return await running

    return asyncio.run(main()), stream.getvalue()


def says(text: str) -> Callable[[str], bool]:
    return lambda output: text in output


def test_a_dead_child_is_started_again() -> None:
    source = "import os, time; print('pid', os.getpid(), flush=True); time.sleep(60)"
    killed: list[int] = []

    def kill_the_first(output: str) -> bool:
        found = re.search(r"pid (\d+)", output)
        if found is None:
            return False
        killed.append(int(found[1]))
        os.kill(killed[0], signal.SIGKILL)
        return True

    status, output = supervise([[script("web", source)]], kill_the_first, lambda text: text.count("pid ") == 2)
    assert status == 0
    assert "web was ended by SIGKILL; starting it again in 0.1 s" in output
    assert not any(is_alive(int(pid)) for pid in re.findall(r"pid (\d+)", output))


def test_the_pause_grows_up_to_its_limit_and_shrinks_after_health() -> None:
    fails = script("worker", "raise SystemExit(3)")
    _, output = supervise([[fails]], lambda text: text.count("starting it again") >= 4)
    assert re.findall(r"ended with status 3; starting it again in ([\d.]+)", output)[:4] == ["0.1", "0.2", "0.2", "0.2"]

    _, output = supervise(
        [[fails]], lambda text: text.count("starting it again") >= 3, backoff=Backoff(first=0.1, most=5.0, healthy=0.0)
    )
    assert set(re.findall(r"starting it again in ([\d.]+)", output)) <= {"0.1", "0.2"}


def test_a_child_that_is_killed_again_and_again_is_started_again_at_once() -> None:
    source = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    _, output = supervise([[script("worker", source)]], lambda text: text.count("starting it again") >= 4)
    assert set(re.findall(r"starting it again in ([\d.]+)", output)) == {"0.1"}


def test_children_stop_in_the_reverse_order(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def child(name: str) -> ProcessSpec:
        source = f"""
            import signal, sys, time
            def stop(*_):
                time.sleep(0.2)
                with open({str(log)!r}, "a") as file:
                    file.write("{name} ")
                sys.exit(0)
            signal.signal(signal.SIGTERM, stop)
            print("{name} is up", flush=True)
            time.sleep(60)
        """
        return script(name, textwrap.dedent(source))

    stages = [[child("postgres")], [child("valkey")], [child("worker-1"), child("worker-2")], [child("web")]]
    status, _ = supervise(stages, lambda text: text.count("is up") == 5)
    assert status == 0
    order = log.read_text().split()
    assert order[0] == "web"
    assert sorted(order[1:3]) == ["worker-1", "worker-2"]
    assert order[3:] == ["valkey", "postgres"]


def test_the_next_stage_waits_until_the_last_one_is_ready(tmp_path: Path) -> None:
    flag = tmp_path / "ready"
    source = f"import time; time.sleep(0.3); open({str(flag)!r}, 'w').close(); time.sleep(60)"
    server = script("postgres", source, is_ready=lambda _pid: flag.exists())
    dependent = script("web", f"import os, time; print(os.path.exists({str(flag)!r}), flush=True); time.sleep(60)")
    _, output = supervise([[server], [dependent]], lambda text: "True" in text or "False" in text)
    assert "True" in output


def test_what_a_start_waits_for_is_said_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.patience.FIRST_SECONDS", 0.01)
    flag = tmp_path / "ready"
    server = script(
        "postgres", SLEEPS, is_ready=lambda _pid: flag.exists(), waits_for=lambda pid: f"process {pid} is recovering"
    )

    def let_it_be_ready(output: str) -> bool:
        if re.search(r"up +\| process \d+ is recovering", output):
            flag.touch()
        return flag.exists()

    _, output = supervise([[server], [script("web", SLEEPS)]], let_it_be_ready, says("web      | up"))
    assert output.index("is recovering") < output.index("web      | up")


def test_a_long_wait_is_told_at_growing_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: list[float] = [0.0]
    said: list[str] = []
    monkeypatch.setattr("config.patience.time.monotonic", lambda: clock[0])
    own, eager = Patience(said.append), Patience(lambda text: said.append(f"at once: {text}"), first=0)
    for second in range(260):
        clock[0] = float(second)
        own.tell("PostgreSQL is recovering after a crash")
        eager.tell("the port")
    eager.tell("")
    told = [int(line.split("(")[1].split()[0]) for line in said if "recovering" in line]
    assert told == [5, 10, 20, 40, 80, 140, 200]
    assert [line for line in said if "at once" in line][:3] == [
        "at once: the port",
        "at once: the port (5 s)",
        "at once: the port (10 s)",
    ]


def test_nothing_starts_after_a_failed_migration() -> None:
    stages = [[script("migrate", "raise SystemExit(1)", once=True)], [script("web", "print('web ran')")]]
    status, output = supervise(stages, stops=0)
    assert status == 1
    assert "migrate ended with status 1: see its lines above" in output
    assert "web ran" not in output


def test_a_migration_that_succeeds_lets_the_rest_start_and_is_not_run_again() -> None:
    stages = [[script("migrate", "print('migrated')", once=True)], [script("web", SLEEPS)]]
    status, output = supervise(stages, says("web     | up"))
    assert status == 0
    assert output.count("migrated") == 1


def test_a_child_that_cannot_be_started_stops_everything() -> None:
    def refuse() -> None:
        raise CannotStart("choose another DATA_DIR")

    status, output = supervise([[script("web", SLEEPS)], [script("postgres", SLEEPS, prepare=refuse)]], stops=0)
    assert status == 1
    assert "postgres cannot be started: choose another DATA_DIR" in output


def test_a_missing_program_is_said() -> None:
    status, output = supervise([[ProcessSpec(name="web", command=["/nonexistent/program"])]], stops=0)
    assert status == 1
    assert "web cannot be started" in output


def test_a_fault_of_its_own_stops_everything() -> None:
    def break_() -> None:
        raise ZeroDivisionError

    status, output = supervise([[script("valkey", SLEEPS)], [script("web", SLEEPS, prepare=break_)]], stops=0)
    assert status == 1
    assert "the supervisor itself failed: ZeroDivisionError()" in output


def test_a_stubborn_child_loses_its_life_after_its_grace() -> None:
    status, _ = supervise([[script("worker", STUBBORN, grace_seconds=0.2)]], says("up"))
    assert status == 0


def test_a_second_stop_takes_the_grace_away() -> None:
    status, _ = supervise([[script("worker", STUBBORN, grace_seconds=60.0)]], says("up"), stops=2)
    assert status == 0


def test_what_a_child_leaves_in_its_group_goes_with_it() -> None:
    source = f"""
        import subprocess, sys
        left = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}])
        print("left", left.pid, flush=True)
    """
    _, output = supervise([[script("web", textwrap.dedent(source))]], lambda text: text.count("starting it again") >= 1)
    wait_until(lambda: not any(is_alive(int(pid)) for pid in re.findall(r"left (\d+)", output)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_it_cleanly(number: signal.Signals) -> None:
    supervisor, pids = start_supervisor()
    supervisor.send_signal(number)
    assert supervisor.wait(20) == 0
    assert not any(is_alive(pid) for pid in pids)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's death signal")
def test_children_die_with_a_supervisor_that_is_killed() -> None:
    supervisor, pids = start_supervisor()
    supervisor.kill()
    supervisor.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in pids))


def test_the_warden_ends_what_a_killed_process_leaves() -> None:
    source = f"""
        import subprocess, sys, time, signal
        from config.warden import Warden
        warden = Warden()
        kept, ended = (subprocess.Popen([sys.executable, "-c", {SLEEPS!r}], stdout=-3) for _ in range(2))
        for child in (kept, ended):
            warden.watch(child.pid, signal.SIGTERM)
        ended.kill(); ended.wait(); warden.forget(ended.pid)
        print(kept.pid, flush=True)
        time.sleep(60)
    """
    starter = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    with starter:
        assert starter.stdout is not None
        kept = int(starter.stdout.readline())
        assert is_alive(kept)
        starter.kill()
    wait_until(lambda: not is_alive(kept))


def test_the_warden_is_a_script_of_its_own() -> None:
    child = subprocess.Popen([sys.executable, "-c", SLEEPS], stdout=subprocess.DEVNULL)
    warden = Warden()
    warden.watch(child.pid, signal.SIGKILL)
    process = warden._process
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(20) == 0
    assert child.wait(20) == -signal.SIGKILL


def test_each_line_carries_the_name_of_its_process() -> None:
    source = r"""
        import sys
        out = sys.stdout.buffer
        out.write(b"first\nhalf"); out.flush()
        out.write(b" and half\n\xff\x1b[2J\tend\n" + b"x" * 70000 + b"\nno newline")
    """
    stages = [[script("web", textwrap.dedent(source), once=True)], [script("worker-1", SLEEPS)]]
    _, output = supervise(stages, says("worker-1 | up"))
    lines = output.splitlines()
    assert lines[:3] == ["web      | first", "web      | half and half", "web      | \\xff\\x1b[2J\tend"]
    assert all(re.match(r"(web|worker-1|up) +\| ", line) for line in lines)
    assert sum(line.count("x") for line in lines if "xxx" in line) == 70000
    assert "web      | no newline" in lines


def test_colours_are_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, plain = Terminal(), io.StringIO()
    for stream in (terminal, plain):
        output = Output(stream)
        output.introduce("web")
        output.line("web", "hello")
    assert terminal.getvalue() == "\033[36mweb |\033[0m hello\n"
    assert plain.getvalue() == "web | hello\n"


def test_it_stops_in_order_when_nobody_reads_its_output() -> None:
    supervisor, pids = start_supervisor()
    assert supervisor.stdout is not None
    supervisor.stdout.close()
    os.kill(pids[0], signal.SIGKILL)  # makes it say something
    assert supervisor.wait(20) == 0
    assert not any(is_alive(pid) for pid in pids)


@pytest.mark.parametrize("shared", [False, True])
def test_a_taken_port_is_said(shared: bool) -> None:
    with socket.socket() as taken:
        if shared:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = Address("127.0.0.1", taken.getsockname()[1], None, None)
        with pytest.raises(CannotStart, match=rf"Port {address.port} of 127.0.0.1 is taken .* Set PORT"):
            address.require_free()
    address.require_free()


def test_a_port_that_a_killed_house_leaves_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1], None, None)

        def say(text: str) -> None:
            said.append(text)
            taken.close()

        address.wait_until_free(say)
    assert said == [f"waiting for port {address.port} of 127.0.0.1, which another process still holds"]
    with socket.create_server(("127.0.0.1", address.port)):
        monkeypatch.setattr("config.listening.LEFT_PORT_SECONDS", 0.0)
        with pytest.raises(CannotStart, match="Set PORT"):
            address.wait_until_free(said.append)


def test_a_claim_lasts_as_long_as_its_holder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    assert claim.left_behind(lock) == ""
    held = claim.take(lock, "process 1")
    with pytest.raises(claim.Taken, match="process 1"):
        claim.take(lock, "process 2")
    held.close()  # as by a kill
    assert claim.left_behind(lock) == "process 1"
    claim.let_go(claim.take(lock, "process 2"))
    assert claim.left_behind(lock) == ""


def start_supervisor() -> tuple["subprocess.Popen[str]", list[int]]:
    """A supervisor in a process of its own, with two children that sleep, and their numbers."""
    source = """
        import asyncio, sys
        from config.processes import ProcessSpec
        from config.supervisor import Supervisor
        child = "import os, time; print('pid', os.getpid(), flush=True); time.sleep(60)"
        specs = [ProcessSpec(name=name, command=[sys.executable, "-c", child]) for name in ("web", "worker")]
        sys.exit(asyncio.run(Supervisor([[spec] for spec in specs]).run()))
    """
    supervisor = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    assert supervisor.stdout is not None
    pids: list[int] = []
    while len(pids) < 2:
        line = supervisor.stdout.readline()
        assert line, "the supervisor ended"
        pids += [int(pid) for pid in re.findall(r"pid (\d+)", line)]
    return supervisor, pids
