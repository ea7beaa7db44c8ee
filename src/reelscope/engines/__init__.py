"""Adapters to heavy vendors, one file each; they are imported when they are opened."""
