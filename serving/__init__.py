"""TensorFlow Serving's REST and gRPC, in Python, over a directory of versions. Imports none of our other packages."""
