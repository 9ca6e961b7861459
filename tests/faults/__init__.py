"""The proof that nothing is lost, in two lengths: `python -m tests.faults`, and a short form that pytest runs.

It holds these invariants while backends fail, processes die and clients race each other. Each violation is told
with the number of the invariant that it breaks.

1. A READY image has its object, with the sha256 that was recorded.
2. An acknowledged upload is there until it is deleted.
3. Nothing is left behind: no object, record or row of a list that belongs to nothing, once it is swept.
4. An acknowledged delete never comes back.
5. One request to publish makes one image.
6. Only its owner changes an image.
7. Nothing unverified is ever visible.

And an answer tells the truth: what was done is not called a failure. Only 503, or no answer at all, leaves open
whether it was done.
"""
