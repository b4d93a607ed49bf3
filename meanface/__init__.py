"""Face embeddings of a large set of photos, their mean, and an account of what failed."""

__version__ = "0.2.0"
