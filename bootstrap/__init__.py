"""Setting up what the service needs around it."""
