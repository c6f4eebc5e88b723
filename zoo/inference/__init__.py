"""Use a trained model: predict, embed, sample and write the results."""
