"""Small masks of one and of two objects."""

import numpy as np

SIZE = (20, 30)
BLOB = np.zeros(SIZE, np.uint16)
BLOB[2:6, 3:9] = 1
TWO = BLOB.copy()
TWO[10:14, 20:25] = 1
