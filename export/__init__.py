"""From a trained model to a bundle: one ONNX file that describes itself."""
