"""Published quality filters."""
