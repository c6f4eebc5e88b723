"""Looking inside a trained model: where it looks, what it computes, and whether to believe that."""
