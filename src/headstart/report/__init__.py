"""From tables to pictures and pages."""
