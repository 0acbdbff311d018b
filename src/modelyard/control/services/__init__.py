"""What control does, one noun a file. Services know the database and the blobs, and nothing of HTTP."""
