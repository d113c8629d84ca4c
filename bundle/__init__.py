"""The bundle: one self-describing ONNX file. Reads, checks and runs it; never torch."""
