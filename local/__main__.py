"""`python -m local`: the function app on this machine, as `make run` serves it."""

import os
import signal

if __name__ == "__main__":
    # Until the supervisor handles Ctrl-C, it ends Python without a traceback, and without an error of make's.
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))

    from local.supervisor import main

    main()
