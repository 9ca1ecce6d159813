"""Decode workers that crash at images with CRASH behind them, and hang at those with HANG."""

import os
import socket
import sys
import time

from recsys.workspace import decoding
from recsys.workspace.normalise import Normalisation, NormalisedImage, normalise


def fragile(source: bytes, settings: Normalisation) -> NormalisedImage:
    if source.endswith(b"CRASH"):
        os.abort()
    if source.endswith(b"HANG"):
        time.sleep(600)
    return normalise(source, settings)


decoding.normalise = fragile
decoding.fork_workers(socket.socket(fileno=int(sys.argv[1])))
