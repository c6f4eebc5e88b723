"""From data to a model's inputs: opening, views, vocabularies, images, augmentation."""
