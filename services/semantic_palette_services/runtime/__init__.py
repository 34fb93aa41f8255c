"""Everything between a bundle on disk and an answer: store, engines, device executor, batcher, loaded bundle."""
