"""Lines for the test that reads them: each whole, whichever thread says it."""

import sys


def say(*words):
    # print() writes a line and its end one after the other, and another thread's line may come in between.
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()
