"""The nouns, as frozen structs that cross processes as JSON (msgspec). Nothing here imports another room."""
