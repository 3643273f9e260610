"""What is protected: claims, directories, and where the data of a database lies on them."""
