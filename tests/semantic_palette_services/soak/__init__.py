"""A soak of a distributed deployment: `python -m soak`, `make soak`, and a short run in the tests.

ledger       what was received, and what is wrong with it
pods         server processes on fixed ports, started again when they end, as Kubernetes would
deployment   palette, layout, image and factory services, all but the first with two replicas
load         streams and single calls that are always under way
commands     the command line as a user runs it, and whether a folder of pairs is whole
client_faults, server_faults, bundle_faults, disk_faults   what goes wrong meanwhile
measures     memory and file descriptors over time
run          all of it together
"""
