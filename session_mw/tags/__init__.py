"""Tagged JSON, one module for each direction, and the limits of both."""
