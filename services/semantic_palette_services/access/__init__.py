"""Who may call, what for, and how much: tokens, scopes and quotas. Knows nothing of transport."""
