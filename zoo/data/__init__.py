"""Turn data into a model's inputs: opening, views, vocabularies, images, augmentation."""
