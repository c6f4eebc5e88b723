"""Looking inside a trained model: where it looked, what it computes, and whether to believe that."""
