"""What lies at a destination: its marker, the points of a series, their manifests and locks."""
