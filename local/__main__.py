"""`python -m local`: the function app on this machine, as `make run` serves it."""

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the supervisor handles Ctrl-C, it ends Python without a traceback

    from local.supervisor import main

    main()
