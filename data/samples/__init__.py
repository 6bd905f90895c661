"""Small corpora that come with the project, each with the grammar that wrote it."""
