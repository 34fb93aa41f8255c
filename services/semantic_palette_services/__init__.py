"""Services: model store, engines, batcher, operations and gRPC services."""
