"""Connected components of an undirected graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def components(count: int, edges: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Return the number of the connected component of each of ``count`` nodes, int64 [count]."""
    pairs = np.array(edges, dtype=np.int64).reshape(-1, 2)
    graph = coo_array(
        (np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count)
    )
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)
