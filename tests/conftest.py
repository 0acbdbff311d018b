"""What holds for every test."""

import os

# Set before any library reads them, and inherited by the processes that tests start: threads that spin on cores
# which other processes need make small nets many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
