"""What is protected: how each source is found, and what reading it takes."""
