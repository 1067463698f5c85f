"""Models as files: the ONNX session, the manifest beside it, and the registry that keeps both."""
