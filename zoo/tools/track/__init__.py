"""Show runs in TensorBoard, MLflow, Trackio or Weights & Biases."""
