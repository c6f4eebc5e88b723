"""`zoo track`: show runs in TensorBoard, MLflow, Trackio or Weights & Biases."""
