"""The wheel, as whoever installs it has it."""
