"""The project's own pytest settings: the plugin is installed, so there is nothing to load here."""
