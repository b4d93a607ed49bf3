"""Pictures and tables of the report: what they show, and how they are drawn."""
