"""Records -> CSV, JSON, TXT, Parquet."""
