"""A new version on its way into force: challenger, canary, champion, watched; or back."""
