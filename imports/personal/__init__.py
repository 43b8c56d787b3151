"""One person's data, found by its business id wherever it lies: told, handed out, erased."""
