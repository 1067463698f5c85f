"""Who may call: API keys with roles, their rates, and a budget on probing."""
