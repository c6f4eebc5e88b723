"""captum's integrated gradients and occlusion as zoo analyzers."""
