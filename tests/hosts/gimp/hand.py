"""Runs inside the chroot beside GIMP, on its display: starts GIMP, then whatever command a test outside asks for.

    python3 hand.py GIMP ARGUMENT...

GKNET_FOLDER holds the socket `hand`. A request is a line of JSON, the command's words; the answer is what it wrote.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path


def main():
    gimp = subprocess.Popen(sys.argv[1:])
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(Path(os.environ["GKNET_FOLDER"]) / "hand"))
    listening.listen()
    connection, _ = listening.accept()
    lines = connection.makefile("rw")
    for line in lines:
        words = json.loads(line)[0]
        try:
            done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=30)
            answer = {"answer": done.stdout}
        except (OSError, subprocess.TimeoutExpired) as error:
            answer = {"error": str(error)}
        lines.write(json.dumps(answer) + "\n")
        lines.flush()
    gimp.terminate()


main()
