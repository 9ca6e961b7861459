"""Real servers to test against, each on 127.0.0.1 at a free port for the length of a block.

ministack (AWS as a whole) is `bootstrap.emulator`, since users run it too. Here are the others: dynalite, whose
read units are right; Ceph's gateway and SeaweedFS, two S3s nobody wrote for tests; and a proxy that makes any of
them slow or dead.
"""
