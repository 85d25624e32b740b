"""The four services and the simulator as child processes of one command."""
