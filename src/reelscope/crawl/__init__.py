"""creators.csv, folders and files -> video sources."""
