"""The framework's own tables, one file for each revision. What was released is never changed."""
