"""The tasks that zoo brings: classification of images, and language modelling."""
