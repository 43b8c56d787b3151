"""The mapping engine, plain Python: data in, data out."""

import os

# The allocator inside jlens maps 1 GiB at once, which a worker's limit of memory would count as used: nothing was left
# for its batch. So it makes pages writable only as it needs them. Read when jlens is loaded, which is after this.
os.environ.setdefault("MIMALLOC_ARENA_EAGER_COMMIT", "0")
