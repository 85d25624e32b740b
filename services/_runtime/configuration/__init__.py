"""What a process is told: environment variables and the configuration file."""
