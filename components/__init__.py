"""The stages, one file each, under TFX's names."""
