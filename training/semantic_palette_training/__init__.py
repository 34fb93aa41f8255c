"""Training: data, models, losses, trainers, evaluation and export."""
