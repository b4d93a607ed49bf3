"""What a run computes from embeddings: mean, tables, statistics, verification; and the cache."""
