"""The release. Nothing is imported here: building a wheel reads this file without the dependencies."""

__version__ = "0.1.0"
