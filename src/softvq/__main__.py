"""`python -m softvq` is the command `softvq`."""

import sys

from softvq.command import main

if __name__ == "__main__":
    sys.exit(main())
