"""The version, which pyproject.toml reads from here; equal in all of Millstream's SDKs."""

__version__ = "0.1.0"
