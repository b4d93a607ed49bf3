"""From the bytes of photos to embeddings: decode, detect, landmarks, chips, encoder."""
