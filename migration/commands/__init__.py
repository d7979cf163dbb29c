"""Commands about a finished or planned migration: plan, verify, lists, export."""
