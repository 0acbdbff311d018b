"""What the platform remembers: tables in a database, bytes in content-addressed blobs. Control alone opens
them."""
