"""The models, and a server that fits them: scikit-learn is imported once, each fit is a fork of that process.

Usage: python models.py SOCKET   # listens there, a line of JSON a fit, until it is ended

To import scikit-learn takes a second, the fits of this example take a fiftieth of that. So a task is not a Python
with scikit-learn, but a few lines (fit.py) that have their fit done here. Where fits take minutes, let each task
import it.
"""

import gc
import itertools
import json
import os
import socketserver
import sys

os.environ["OMP_NUM_THREADS"] = "1"  # there is a task for each CPU already

from sklearn.datasets import load_digits
from sklearn.model_selection import KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

KINDS = {"neighbors": KNeighborsClassifier, "tree": DecisionTreeClassifier, "bayes": GaussianNB}
GRIDS = {
    "neighbors": {"n_neighbors": list(range(1, 13)), "weights": ["uniform", "distance"], "p": [1, 2]},
    "tree": {
        "max_depth": [3, 5, 7, 9, 11, 13, 15, None],
        "min_samples_leaf": [1, 2, 3, 5, 8, 13],
        "criterion": ["gini", "entropy"],
        "random_state": [0],
    },
    "bayes": {"var_smoothing": [10 ** (-n / 10) for n in range(1, 97)]},
}
DIGITS = load_digits()


def candidates() -> list[dict[str, object]]:
    """All models there are to try: `{"kind": …, the parameters}`."""
    return [
        {"kind": kind, **dict(zip(grid, values, strict=True))}
        for kind, grid in GRIDS.items()
        for values in itertools.product(*grid.values())
    ]


def score(candidate: dict[str, object], fold: int, folds: int) -> float:
    """How much of one fold a model gets right that was fitted to the others."""
    parameters = dict(candidate)
    model = KINDS[str(parameters.pop("kind"))](**parameters)
    train, test = list(KFold(folds, shuffle=True, random_state=0).split(DIGITS.data))[fold]
    model.fit(DIGITS.data[train], DIGITS.target[train])
    return round(float(model.score(DIGITS.data[test], DIGITS.target[test])), 6)


class Fit(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        """One question, one answer, in a process of its own."""
        asked = json.loads(self.rfile.readline())
        try:
            answer = {"score": score(asked["candidate"], asked["fold"], asked["folds"])}
        except Exception as problem:  # whatever a model may raise: the task that asked has to hear it
            answer = {"error": f"{type(problem).__name__}: {problem}"}
        self.wfile.write(json.dumps(answer).encode())


class Models(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    request_queue_size = 128
    max_children = 1000  # how many run at once, the slots of the manager decide


if __name__ == "__main__":
    gc.freeze()  # forks share what is there, as long as nobody touches it
    with Models(sys.argv[1], Fit) as server:
        print(json.dumps({"socket": sys.argv[1], "candidates": candidates()}), flush=True)
        server.serve_forever()
