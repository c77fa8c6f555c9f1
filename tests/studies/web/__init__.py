"""The page that shows a study to people."""
