"""Common to all tests."""

import signal

# A shell's background job ignores SIGINT and hands that on to every process it starts; tests that interrupt a command
# need it to be heard. A handler here becomes the default action in child processes.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
