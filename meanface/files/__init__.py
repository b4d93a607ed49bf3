"""Files, JSON, tables and arrays. Each is written whole or not at all."""
