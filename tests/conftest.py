"""Common to all tests."""

import os
import signal

# Workers of pytest-xdist share the cores: one that takes them all slows the others down. Set before torch is imported,
# and handed on to the processes that tests start.
if "PYTEST_XDIST_WORKER" in os.environ:
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

# A shell's background job ignores SIGINT and hands that on to every process it starts; tests that interrupt a command
# need it to be heard. A handler here becomes the default action in child processes.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Messages of the command line wrap at the width of the terminal: at one where no path of a test is cut in two.
os.environ["COLUMNS"] = "240"
