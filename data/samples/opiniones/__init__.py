"""Spanish reviews of products, films and restaurants: two classes, two spans."""
