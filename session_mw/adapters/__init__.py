"""Sessions in the manner of a framework: one module each, which imports that framework."""
