"""Fuzzing of every RPC of running servers: `python -m fuzz`, `make fuzz`, and a short run in the tests.

methods    what there is to call, found by reflection
values     single values that are unlikely, wrong or hostile
messages   messages of random fields, and valid ones with some changed
wire       serialized messages with bytes changed
corpus     valid requests to start from
cases      a numbered call: method, bytes and how the caller behaves; made from (seed, number) alone
calls      makes a call and says how it ended
verdict    what is wrong with how a call ended
servers    the servers under test: whether they live, are healthy, idle again and no larger
strangers  connections that speak no gRPC
runner     all of it together
"""
