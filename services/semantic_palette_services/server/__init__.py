"""What makes operations a server: settings, errors, health, metrics, lifecycle."""
