"""Shards: tars of photos with manifests, and the plan of which shard encodes which photo."""
