"""Generated protobuf and gRPC code of the Open Inference Protocol; `make proto` writes it."""
