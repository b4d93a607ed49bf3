"""Shards: tars of photos with manifests, and the plan of what each encodes."""
