"""Data on its way to a model: opening, views, vocabularies, images, augmentation."""
