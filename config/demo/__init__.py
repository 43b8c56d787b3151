"""What `make demo` shows: real records going in over the signed API, through the house, into encrypted storage."""
