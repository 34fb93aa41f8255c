"""Network architectures; a config dataclass next to each, no trainer code."""
