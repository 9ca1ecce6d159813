"""The merchandisers' page: its templates, its scripts and styles, and how they are served."""
