"""Pictures: sources, splits, augmentation."""
